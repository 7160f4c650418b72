"""Keras's optimizers, checked without importing Keras and built when they are needed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from experiments.lr_range_test import AUTO
from experiments.optimizers.classes import ABOVE_ZERO_BELOW_ONE, CLASSES, MOMENTUM, Common
from experiments.settings import NOT_NEGATIVE, REQUIRED, Choice, InputError, Setting, checked, settings_of, unknown


@dataclass(frozen=True)
class Optimizer:
    """A checked optimizer.

    `learning_rate` is the peak that a schedule scales; `decay` is Keras 2's, per step, and goes into the
    table of learning rates. `settings` are all the others, defaults filled in: what Keras is given. A rate
    that is "auto" has to be replaced by a range test's before anything is built.
    """

    class_name: str
    learning_rate: float | Literal["auto"]
    decay: float
    settings: Mapping[str, Any]


CLASS = Setting("class", "name", REQUIRED, Choice("optimizer class", CLASSES), "the class of keras.optimizers")
DECAY = Setting(
    "decay",
    float,
    0.0,
    NOT_NEGATIVE,
    "of Keras 2: the rate is divided by 1 + decay times the step, counted from 0",
)
NO_CHOICE: Mapping[str, str] = {
    "LossScaleOptimizer": "set precision to mixed_float16 instead, which scales the loss by itself",
    "MultiOptimizer": "name one of the classes it would combine",
    "Optimizer": "it is the base of the others",
}


def check(key_path: str, values: Mapping[str, Any]) -> Optimizer:
    """`values` as an Optimizer: `class`, and optionally `learning_rate`, `decay` and that class's settings.

    Raises InputError for an unknown class or setting, a wrong type, a value out of range, and settings that
    cannot go together or that would change nothing.

    >>> check("optimizers.sgd", {"class": "SGD", "momentum": 0.9}).learning_rate
    0.01
    >>> check("optimizers.sgd", {"class": "SGD", "momentu": 0.9})
    Traceback (most recent call last):
    ...
    experiments.settings.InputError: optimizers.sgd.momentu: unknown setting 'momentu'; did you mean 'momentum'?
    """
    settings = dict(values)
    if "class" not in settings:
        raise InputError(f"{key_path}: setting 'class' is missing; expected one of: {', '.join(CLASSES)}")
    class_name = settings.pop("class")
    row = _row(f"{key_path}.class", class_name)
    decay = DECAY.checked(f"{key_path}.decay", settings.pop("decay", DECAY.default))
    auto = settings.get("learning_rate") == AUTO
    if auto:
        del settings["learning_rate"]
    shared = {name for name in settings_of(Common) if name not in settings_of(row)}
    for name in settings:
        if name not in shared and name not in settings_of(row):
            known = {"class", "decay", *shared, *settings_of(row)}
            raise unknown(f"{key_path}.{name}", "setting", name, known)
    result = checked(key_path, {n: v for n, v in settings.items() if n in shared}, Common)
    result |= checked(key_path, {n: v for n, v in settings.items() if n not in shared}, row)
    _check_together(key_path, class_name, result)
    learning_rate = result.pop("learning_rate")
    return Optimizer(class_name, AUTO if auto else learning_rate, decay, result)


def require(
    key_path: str, optimizer: Optimizer, learning_rates: NDArray[np.float32], cycles_momentum: bool = False
) -> None:
    """Raise InputError where `optimizer` cannot train with `learning_rates`, float32, one a step of the run.

    It cannot where a step at one of them divides by zero, where none of them moves a weight, where the run ends
    before a gradient is accumulated, and where a schedule `cycles_momentum` that the optimizer does not have.
    """
    if not np.any(learning_rates > 0):
        raise InputError(
            f"{key_path}: every learning rate of the run is 0, so nothing would be trained; run more epochs, or "
            "let the schedule (or its warm-up) start above 0"
        )
    together = optimizer.settings["gradient_accumulation_steps"] or 1
    if together > learning_rates.size:
        raise InputError(
            f"{key_path}: gradient_accumulation_steps is {together} and the whole run has {learning_rates.size} "
            "batches, so no weight would ever move; accumulate fewer or run more epochs"
        )
    if cycles_momentum:
        _require_momentum(key_path, optimizer)
    if optimizer.class_name == "Ftrl" and not np.all(learning_rates > 0):
        raise InputError(
            f"{key_path}: Ftrl divides by the learning rate, so every rate must be above 0, got one of "
            f"{float(np.min(learning_rates))}; let the schedule (or its warm-up) start and end above 0"
        )


def build(optimizer: Optimizer) -> Any:
    """A new keras.optimizers.Optimizer, its learning rate a variable that can be assigned."""
    if optimizer.learning_rate == AUTO:
        raise InputError(
            f"{optimizer.class_name}.learning_rate: expected a number, got 'auto'; test the range first"
        )
    import keras

    kind = getattr(keras.optimizers, optimizer.class_name)
    name = optimizer.class_name.lower()
    return kind(learning_rate=optimizer.learning_rate, name=name, **optimizer.settings)


def _require_momentum(key_path: str, optimizer: Optimizer) -> None:
    name = optimizer.class_name
    if name == "ScheduleFreeAdamW":
        raise InputError(
            f"{key_path}: the schedule cycles the momentum, and ScheduleFreeAdamW tells its two averages apart "
            "by a beta_1 that stays the same; take `momentum` out of the schedule or pair it with another "
            "optimizer"
        )
    if name not in MOMENTUM:
        raise InputError(
            f"{key_path}: the schedule cycles the momentum, and {name} has none; take `momentum` out of the "
            f"schedule or pair it with one of: {', '.join(sorted(MOMENTUM))}"
        )
    for setting in MOMENTUM[name]:
        if optimizer.settings[setting] == 0:
            raise InputError(
                f"{key_path}: the schedule cycles the momentum, and this {name} is one without it ({setting} 0); "
                f"set {setting} above 0, which the schedule then replaces at every step"
            )


def _row(key_path: str, class_name: object) -> type[Any]:
    if not isinstance(class_name, str):
        raise InputError(f"{key_path}: expected the name of an optimizer class, got {class_name!r}")
    if class_name in NO_CHOICE:
        raise InputError(f"{key_path}: {class_name} is not a choice here; {NO_CHOICE[class_name]}")
    CLASS.require_limit(key_path, class_name)
    return CLASSES[class_name]


def _check_together(key_path: str, class_name: str, settings: Mapping[str, Any]) -> None:
    clips = [n for n in ("clipnorm", "clipvalue", "global_clipnorm") if settings[n] is not None]
    if len(clips) > 1:
        raise InputError(f"{key_path}: only one way of clipping can be set, got {' and '.join(clips)}")
    if not settings["use_ema"]:
        for name in ("ema_momentum", "ema_overwrite_frequency"):
            if settings[name] != settings_of(Common)[name].default:
                raise InputError(f"{key_path}.{name}: changes nothing without use_ema: true, got {settings[name]}")
    if class_name == "SGD" and settings["nesterov"] and settings["momentum"] == 0:
        raise InputError(f"{key_path}.nesterov: needs a momentum above 0, got momentum 0.0")
    if class_name in ("Lion", "ScheduleFreeAdamW"):
        ABOVE_ZERO_BELOW_ONE.check(f"{key_path}.beta_1", settings["beta_1"])
    for pattern in settings.get("exclude_layers") or ():
        try:
            re.compile(pattern)
        except re.error as error:
            raise InputError(
                f"{key_path}.exclude_layers: expected regular expressions, got {pattern!r} ({error})"
            ) from None
