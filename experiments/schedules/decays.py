"""Shapes of a learning-rate schedule: what a row of their table is, and those that go down once.

A shape is a function `(t, total, *, settings) -> fractions of the peak`. t is the time in epochs since the
shape began, float64 [epochs, steps]; total is how many epochs it has; the result is float64 of t's shape.
Each element depends on its own t alone. Settings in epochs need not be whole numbers.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from experiments import callbacks
from experiments.settings import (
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    REDUCTION,
    InputError,
    Setting,
    checked,
    settings_of,
    unknown,
)

Array = NDArray[np.float64]
By = Literal["step", "epoch"]
Settings = Mapping[str, Any]
Final = Annotated[float, FRACTION, "the fraction of the peak that it comes down to"]
Every = Annotated[float, POSITIVE, "epochs from one reduction to the next"]
Factor = Annotated[float, REDUCTION, "what each reduction multiplies the rate by"]


@dataclass(frozen=True)
class Shape:
    """One row of the table of shapes: the function, and what must be known about it without calling it."""

    function: Callable[..., Array]
    uses_total: bool | Callable[[Settings], bool]
    """Does the beginning change when the run gets longer?"""
    absolute: bool = False
    """It gives learning rates itself, not fractions of a peak."""
    by: By | None = None
    """The only way it can go; None: the user chooses."""
    agree: Callable[[str, dict[str, Any]], dict[str, Any]] | None = None
    """Checks settings that depend on each other, and gives them in their final form."""
    require: Callable[[str, Settings, float], None] | None = None
    """Raises InputError when the shape needs more epochs than it has."""
    lowest: Callable[[Settings], float] | None = None
    """The fraction of the peak that its cycles rise from and fall back to; None: it has no cycles for a momentum
    to follow."""
    settings: Callable[..., Any] | None = None
    """What declares the settings, where it is not the function."""

    @property
    def declared(self) -> Mapping[str, Setting]:
        """The settings of the shape."""
        return settings_of(self.settings or self.function)

    def check(self, key_path: str, values: Settings, also: tuple[str, ...] = ()) -> dict[str, Any]:
        """Every setting, defaults filled in. Raises InputError, which may suggest `also` besides."""
        for name in values:
            if name not in self.declared:
                raise unknown(f"{key_path}.{name}", "setting", name, (*self.declared, *also))
        result = checked(key_path, values, self.settings or self.function)
        return self.agree(key_path, result) if self.agree else result


def times(epochs: int, steps: int) -> Array:
    """The time in epochs at which each step begins, float64 [epochs, steps]: epoch + step/steps.

    >>> times(2, 2).tolist()
    [[0.0, 0.5], [1.0, 1.5]]
    """
    return np.arange(epochs, dtype=np.float64)[:, None] + np.arange(steps) / steps


def completed(t: Array, length: float) -> Array:
    """How many whole lengths have passed by time t."""
    # 0.3 epochs are three lengths of 0.1, although 0.3 / 0.1 is a little less than 3 in float64.
    return np.floor(t / length + 1e-9)


def progress(t: Array, total: float) -> Array:
    """`t` as a fraction of the total, kept within 0..1."""
    return np.clip(t / total, 0.0, 1.0)


def ramp(
    t: Array,
    total: float,
    *,
    start: Annotated[float, FRACTION, "the fraction of the peak that it begins at"] = 0.0,
) -> Array:
    """Warm-up: linear from `start` to 1.

    Source: Goyal et al. 2017, https://arxiv.org/abs/1706.02677.

    >>> ramp(times(2, 2), 2.0).tolist()
    [[0.0, 0.25], [0.5, 0.75]]
    """
    return start + (1.0 - start) * progress(t, total)


def constant(t: Array, total: float) -> Array:
    """Always the peak.

    >>> constant(times(2, 2), 2.0).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    return np.ones_like(t)


def plateau(t: Array, total: float, **rule: object) -> Array:
    """Always the peak, until the rule of the same settings (`reduce_on_plateau`) scales it during the run.

    Source: keras.callbacks.ReduceLROnPlateau.
    """
    return np.ones_like(t)


def power(t: Array, total: float, *, exponent: Annotated[float, POSITIVE, "the exponent"] = 0.8) -> Array:
    """(1 - t/total)^exponent: the article's "power".

    >>> power(times(2, 2), 2.0, exponent=2.0).tolist()
    [[1.0, 0.5625], [0.25, 0.0625]]
    """
    return (1.0 - progress(t, total)) ** exponent


def inverse_time(
    t: Array, total: float, *, decay_rate: Annotated[float, NOT_NEGATIVE, "how fast it falls, per epoch"] = 0.98
) -> Array:
    """1 / (1 + decay_rate t), t in epochs: what the article calls "linear".

    Source: keras.optimizers.schedules.InverseTimeDecay.

    >>> inverse_time(times(2, 2), 2.0, decay_rate=2.0).round(3).tolist()
    [[1.0, 0.5], [0.333, 0.25]]
    """
    return 1.0 / (1.0 + decay_rate * t)


def linear(t: Array, total: float, *, final: Final = 0.0) -> Array:
    """A straight line from 1 to `final`, which it reaches as the last epoch ends.

    Source: Bergsma et al. 2025, https://arxiv.org/abs/2502.15938 (for `final` 0).

    >>> linear(times(2, 2), 2.0).tolist()
    [[1.0, 0.75], [0.5, 0.25]]
    """
    return 1.0 - (1.0 - final) * progress(t, total)


def exponential(t: Array, total: float, *, every: Every, factor: Factor = 0.1) -> Array:
    """factor^(t/every): smoothly down by `factor` every so many epochs, however long the run.

    Source: keras.optimizers.schedules.ExponentialDecay.

    >>> exponential(times(2, 2), 2.0, every=1.0, factor=0.25).tolist()
    [[1.0, 0.5], [0.25, 0.125]]
    """
    return np.power(factor, t / every)


def step(t: Array, total: float, *, every: Every, factor: Factor = 0.1) -> Array:
    """factor^floor(t/every): down by `factor` at once, every so many epochs.

    >>> step(times(2, 2), 2.0, every=1.0, factor=0.5).tolist()
    [[1.0, 1.0], [0.5, 0.5]]
    """
    return np.power(factor, completed(t, every))


def piecewise(
    t: Array,
    total: float,
    *,
    boundaries: Annotated[tuple[float, ...], POSITIVE, "epochs at which the next value begins, rising"],
    values: Annotated[tuple[float, ...], NOT_NEGATIVE, "fractions of the peak, one more than boundaries"],
) -> Array:
    """values[i], where i counts the boundaries (in epochs) that t has reached; one value more than those.

    Source: keras.optimizers.schedules.PiecewiseConstantDecay (there a boundary belongs to the piece before
    it).

    >>> piecewise(times(2, 2), 2.0, boundaries=(0.5, 1.0), values=(1.0, 0.5, 0.1)).tolist()
    [[1.0, 0.5], [0.1, 0.1]]
    """
    return np.asarray(values, np.float64)[np.searchsorted(boundaries, t + 1e-9, side="right")]


def polynomial(
    t: Array, total: float, *, power: Annotated[float, POSITIVE, "the exponent"] = 2.0, final: Final = 0.0
) -> Array:
    """`final` + (1 - final) (1 - t/total)^power.

    Source: keras.optimizers.schedules.PolynomialDecay.

    >>> polynomial(times(2, 2), 2.0, final=0.2).round(3).tolist()
    [[1.0, 0.65], [0.4, 0.25]]
    """
    return final + (1.0 - final) * (1.0 - progress(t, total)) ** power


def cosine(t: Array, total: float, *, final: Final = 0.0) -> Array:
    """`final` + (1 - final) (1 + cos(pi t/total)) / 2.

    Source: Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983, one period of it.

    >>> cosine(times(2, 2), 2.0, final=0.2).round(3).tolist()
    [[1.0, 0.883], [0.6, 0.317]]
    """
    return final + (1.0 - final) * 0.5 * (1.0 + np.cos(np.pi * progress(t, total)))


def inverse_square_root(t: Array, total: float, *, timescale: Annotated[float, POSITIVE, "epochs"] = 1.0) -> Array:
    """1 / sqrt(1 + t/timescale), t in epochs.

    After a warm-up of w epochs and with timescale w this is sqrt(w/T), T counted from the very beginning:
    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762.

    >>> inverse_square_root(times(2, 1), 2.0, timescale=0.125).round(3).tolist()
    [[1.0], [0.333]]
    """
    return 1.0 / np.sqrt(1.0 + t / timescale)


def rex(t: Array, total: float) -> Array:
    """(1 - x) / (1 - x/2), x = t/total: near the peak for long, then fast down to 0.

    Source: Chen et al. 2021, https://arxiv.org/abs/2107.04197.

    >>> rex(times(2, 2), 2.0).round(3).tolist()
    [[1.0, 0.857], [0.667, 0.4]]
    """
    x = progress(t, total)
    return (1.0 - x) / (1.0 - 0.5 * x)


def range_test(
    t: Array,
    total: float,
    *,
    start: Annotated[float, POSITIVE, "the learning rate of the first step"] = 1e-7,
    end: Annotated[float, POSITIVE, "the learning rate at the end, above `start`"] = 10.0,
) -> Array:
    """`start` (end/start)^(t/total): learning rates themselves, by the same factor up from each to the next.

    Source: Smith 2015, https://arxiv.org/abs/1506.01186, with the exponential ramp now in use. `end` is
    where the step after the last would be.

    >>> range_test(times(2, 2), 2.0, start=0.01, end=1.0).round(4).tolist()
    [[0.01, 0.0316], [0.1, 0.3162]]
    """
    return start * np.power(end / start, progress(t, total))


def _rising_ends(key_path: str, settings: dict[str, Any]) -> dict[str, Any]:
    if settings["start"] >= settings["end"]:
        raise InputError(
            f"{key_path}: expected start below end, got {settings['start']:g} and {settings['end']:g}"
        )
    return settings


def _matching_pieces(key_path: str, settings: dict[str, Any]) -> dict[str, Any]:
    boundaries, values = settings["boundaries"], settings["values"]
    if not boundaries or list(boundaries) != sorted(set(boundaries)):
        raise InputError(f"{key_path}.boundaries: expected rising numbers of epochs, got {list(boundaries)}")
    if len(values) != len(boundaries) + 1:
        raise InputError(
            f"{key_path}.values: expected {len(boundaries) + 1}, one more than boundaries, got {len(values)}"
        )
    return settings


def _boundaries_inside(key_path: str, settings: Settings, total: float) -> None:
    last = settings["boundaries"][-1]
    if last >= total:
        raise InputError(
            f"{key_path}.boundaries: the last one is at epoch {last:g} and the schedule has {total:g} epochs; "
            "run more epochs or move it"
        )


def _rule(key_path: str, settings: dict[str, Any]) -> dict[str, Any]:
    return asdict(callbacks.check_plateau(key_path, settings))


ROWS: dict[str, Shape] = {
    "constant": Shape(constant, uses_total=False),
    "plateau": Shape(plateau, uses_total=False, settings=callbacks.Plateau, agree=_rule),
    "power": Shape(power, uses_total=True),
    "inverse-time": Shape(inverse_time, uses_total=False),
    "linear": Shape(linear, uses_total=True),
    "exponential": Shape(exponential, uses_total=False),
    "step": Shape(step, uses_total=False),
    "piecewise": Shape(
        piecewise,
        uses_total=False,
        agree=_matching_pieces,
        require=_boundaries_inside,
    ),
    "polynomial": Shape(polynomial, uses_total=True),
    "cosine": Shape(cosine, uses_total=True),
    "inverse-square-root": Shape(inverse_square_root, uses_total=False),
    "rex": Shape(rex, uses_total=True),
    "range-test": Shape(
        range_test,
        uses_total=True,
        absolute=True,
        agree=_rising_ends,
    ),
}
