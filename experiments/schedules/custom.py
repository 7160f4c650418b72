"""A user's own shape, named `package.module:function` in a sweep file, and the contract it must keep.

    # my_rates.py, in the folder where the command runs
    from experiments.own_shapes import total_independent

    @total_independent
    def sawtooth(t, total, *, period: float = 2.0):
        return 1.0 - t % period / period

It has the signature of every shape (experiments.schedules.decays): every setting is a keyword-only parameter with
a type. In a test of one's own: `assert_shape_contract(sawtooth, period=3.0)`.
"""

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import numpy as np

from experiments import user_modules
from experiments.schedules.decays import Array, By, Shape, times
from experiments.settings import (
    POSITIVE,
    UNTYPED,
    InputError,
    InWords,
    Setting,
    can_be_held,
    last_line,
    settings_of,
    unknown,
)

COMMON: Mapping[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting("name", str, InWords("the label"), None, "the shape, or `module:function` for one of your own"),
        Setting(
            "peak",
            float | Literal["auto"] | None,
            None,
            POSITIVE,
            "what the shape gives fractions of; null is the optimizer's learning rate, `auto` what its range test "
            "suggests",
        ),
        Setting("by", By, "step", None, "whether the rate moves at every step or every epoch"),
        Setting("warmup", "mapping", None, None, "in front of the shape; null is none"),
        Setting(
            "momentum",
            "mapping",
            None,
            None,
            "cycles the optimizer's momentum against the rate of a shape that goes in cycles; null does not",
        ),
    )
}
"""The keys every schedule has besides the settings of its shape."""

F = TypeVar("F", bound=Callable[..., Array])


def total_independent(function: F) -> F:
    """Mark a shape whose beginning stays the same when the run gets longer; others are taken to change.

    >>> total_independent(np.ones_like).uses_total
    False
    """
    function.uses_total = False  # type: ignore[attr-defined]
    return function


def is_own(name: str) -> bool:
    """Whether `name` means a function in a user's file rather than a row of the table."""
    return ":" in name


def load(key_path: str, name: str) -> Shape:
    """The shape that `name`, "package.module:function", stands for; its module is imported now.

    Modules are found as experiments.user_modules says. Raises InputError for a module that cannot be imported, a
    function that is not in it, or one without the signature of a shape; calling the shape raises it for a function
    that fails, or gives something else than numbers in the shape of t.
    """
    module_name, _, function_name = name.partition(":")
    module = user_modules.load(key_path, module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        public = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise unknown(key_path, f"function of {module_name}", function_name, public)
    if fault := signature_fault(function):
        raise InputError(f"{key_path}: {name} is no shape: {fault}")
    return Shape(_guarded(name, function), uses_total=getattr(function, "uses_total", True), settings=function)


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Array]:
    """`function` with a sentence for whatever it raises, and for a result that is no array of t's shape.

    Its t cannot be written to.
    """

    @functools.wraps(function)
    def shape(t: Array, total: float, **settings: Any) -> Array:
        copied = t.copy()
        copied.flags.writeable = False
        try:
            with contextlib.redirect_stdout(sys.stderr):  # stdout is for data
                values = np.asarray(function(copied, total, **settings))
        except (Exception, SystemExit) as error:  # a user's function may fail in any way, and may try to leave
            raise InputError(f"{name}: failed: {last_line(error)}") from error
        if values.dtype.kind not in "biuf":
            raise InputError(f"{name}: expected an array of numbers from it, got {values.dtype}")
        if values.shape != t.shape:
            raise InputError(f"{name}: expected an array of shape {t.shape} from it, got {values.shape}")
        return values.astype(np.float64)

    return shape


def signature_fault(function: Callable[..., Any]) -> str | None:
    """What keeps `function` from having the signature of a shape, in words; None where nothing does."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return "its parameters cannot be read; write it as `def shape(t, total)`"
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(positional) != 2:
        return f"expected two positional parameters, t and total, got {', '.join(positional) or 'none'}"
    return _settings_fault(function)


def _settings_fault(function: Callable[..., Any]) -> str | None:
    try:
        settings = settings_of(function)
    except Exception as error:  # whatever an annotation's evaluation raises
        return f"its annotations cannot be read: {last_line(error)}"
    for name, setting in settings.items():
        if setting.kind is UNTYPED:
            return f"setting {name!r} has no type; write it as `{name}: float = 1.0`"
        if not can_be_held(setting.kind):
            return f"setting {name!r} has a type that no sweep file can give, {setting.kind!r}"
        if name in (*COMMON, "epochs"):
            return f"setting {name!r} has a name that every schedule uses already; rename it"
    return None


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def assert_shape_contract(function: Callable[..., Array], **settings: Any) -> None:
    """Hold `function`, called with `settings`, against what every shape promises. Raises AssertionError.

    It has the signature of a shape; gives finite float64 fractions, 0 or more, in the shape of t; gives the
    same for the same call, and for an epoch by itself as for the epoch among others; leaves t alone; and,
    when marked total_independent, gives the same for any total.

    >>> assert_shape_contract(lambda t, total: t - 1.0)
    Traceback (most recent call last):
    ...
    AssertionError: <lambda>(1 epochs, 1 steps): expected 0 or more everywhere, got -1.0
    """
    name = getattr(function, "__name__", repr(function))
    fault = signature_fault(function)
    _expect(fault is None, f"{name}: {fault}")
    for epochs, steps in ((1, 1), (1, 7), (5, 1), (6, 9)):
        key_path, total = f"{name}({epochs} epochs, {steps} steps)", float(epochs)
        t = times(epochs, steps)
        before = t.copy()
        values = function(t, total, **settings)
        _expect(isinstance(values, np.ndarray), f"{key_path}: expected an array, got {type(values).__name__}")
        _expect(values.shape == t.shape, f"{key_path}: expected shape {t.shape}, got {values.shape}")
        _expect(values.dtype == np.float64, f"{key_path}: expected float64, got {values.dtype}")
        _expect(bool(np.isfinite(values).all()), f"{key_path}: expected finite numbers, got {values.tolist()}")
        _expect(bool((values >= 0).all()), f"{key_path}: expected 0 or more everywhere, got {values.min()}")
        _expect(np.array_equal(t, before), f"{key_path}: it changed t")
        again = function(before, total, **settings)
        _expect(values.tobytes() == again.tobytes(), f"{key_path}: the same call gave other numbers")
        for epoch in range(epochs):
            alone = function(t[epoch : epoch + 1], total, **settings)
            _expect(
                np.allclose(alone, values[epoch : epoch + 1], rtol=1e-12, atol=0),
                f"{key_path}: epoch {epoch} by itself gave other numbers than among the others",
            )
        if not getattr(function, "uses_total", True):
            longer = function(t, total + 3.0, **settings)
            _expect(values.tobytes() == longer.tobytes(), f"{key_path}: marked total_independent, but uses total")
