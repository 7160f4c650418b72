"""A learning-rate schedule as a table of learning rates, known before anything runs.

    cosine: {final: 0.01, peak: 0.1, by: step, warmup: {epochs: 3, start: 0.0}}
    one-cycle: {momentum: {low: 0.85, high: 0.95}}

The label selects the shape, or `name` does. `peak` is what the shape gives fractions of (default: the
optimizer's learning rate), `by` whether it moves at every step or every epoch, and `warmup` goes in front:
linear from start * peak to the peak, after which the shape begins with the epochs that are left. `momentum`
cycles the optimizer's momentum against the rate of a shape that goes in cycles (experiments.schedules.momentum).
All shapes stand in SHAPES; a new one is a function and a row there. `package.module:function` is a user's own
(experiments.own_shapes).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from experiments import callbacks
from experiments.lr_range_test import AUTO
from experiments.schedules import custom, cyclic, decays, joined, modelarts
from experiments.schedules.custom import COMMON
from experiments.schedules.decays import Array, By, Shape, ramp, times
from experiments.schedules.momentum import Momentum, against, check_momentum
from experiments.settings import FRACTION, POSITIVE, InputError, checked, converted, mapping, unknown

MOST = 2**25
"""Learning rates in a table: 134 MB in float32, and several times as much while it is made."""
SHAPES: dict[str, Shape] = decays.ROWS | cyclic.ROWS | joined.ROWS | modelarts.ROWS


@dataclass(frozen=True, kw_only=True)
class Warmup:
    """`epochs` of it in front of a shape, linear from `start` (a fraction of the peak) to the peak."""

    epochs: Annotated[float, POSITIVE, "how long it takes"]
    start: Annotated[float, FRACTION, "the fraction of the peak that it begins at"] = 0.0


@dataclass(frozen=True)
class Schedule:
    """A checked schedule, every setting filled in; `peak` None means the optimizer's learning rate.

    A peak that is "auto" has to be replaced by a range test's before there is a table.
    """

    shape: str
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    peak: float | Literal["auto"] | None = None
    by: By = "step"
    warmup: Warmup | None = None
    plateau: callbacks.Plateau | None = None
    momentum: Momentum | None = None


def _row(key_path: str, name: str) -> Shape:
    if custom.is_own(name):
        return custom.load(key_path, name)
    if name not in SHAPES:
        raise unknown(key_path, "schedule", name, SHAPES)
    return SHAPES[name]


def _warmup(key_path: str, values: Any) -> Warmup:
    return Warmup(**checked(key_path, mapping(key_path, values, "{epochs: 3}"), Warmup))


def _momentum(key_path: str, name: str, row: Shape, settings: Mapping[str, Any], values: Any) -> Momentum:
    if row.lowest is None:
        cycling = ", ".join(sorted(label for label, other in SHAPES.items() if other.lowest))
        raise InputError(
            f"{key_path}: {name} has no cycles that a momentum could follow; those that do: {cycling}"
        )
    if row.lowest(settings) >= 1:
        raise InputError(f"{key_path}: this {name} never leaves its peak, so a momentum has nothing to follow")
    return check_momentum(key_path, mapping(key_path, values, "{low: 0.85, high: 0.95}"))


def check(key_path: str, label: str, values: Mapping[str, Any]) -> Schedule:
    """`values`, the settings that a sweep file has at `key_path` under `label`, as a Schedule.

    Raises InputError for an unknown shape, key, setting or metric (with the nearest name), a value of the
    wrong type or outside its limits, settings that contradict each other, or a user's own shape that cannot
    be loaded.

    >>> slow = check("schedules.slow", "slow", {"name": "cosine", "final": 0.01, "peak": 0.1})
    >>> slow.shape, slow.settings, slow.peak, slow.by
    ('cosine', {'final': 0.01}, 0.1, 'step')
    >>> check("schedules.cosin", "cosin", {})
    Traceback (most recent call last):
    ...
    experiments.settings.InputError: schedules.cosin: unknown schedule 'cosin'; did you mean 'cosine'?
    """
    values = mapping(key_path, values)
    # A sequence says what it is by its one setting.
    name = values.get("name", "sequence" if "sequence" in values else label)
    if not isinstance(name, str):
        raise InputError(f"{key_path}.name: expected the name of a schedule, got {name!r}")
    row = _row(f"{key_path}.name" if "name" in values else key_path, name)
    settings = row.check(key_path, {k: v for k, v in values.items() if k not in COMMON}, also=tuple(COMMON))
    peak, by, warmup = values.get("peak"), values.get("by", row.by or COMMON["by"].default), values.get("warmup")
    cycled = values.get("momentum")
    if peak is not None:
        if row.absolute:
            raise InputError(f"{key_path}.peak: {name} gives learning rates itself and has no peak; remove it")
        if peak != AUTO:
            peak = converted(f"{key_path}.peak", peak, float)
            COMMON["peak"].require_limit(f"{key_path}.peak", peak)
    by = converted(f"{key_path}.by", by, By)
    if row.by and by != row.by:
        raise InputError(f"{key_path}.by: {name} only goes by {row.by}, got {by!r}")
    return Schedule(
        shape=name,
        settings=settings,
        peak=peak,
        by=by,
        warmup=None if warmup is None else _warmup(f"{key_path}.warmup", warmup),
        plateau=callbacks.Plateau(**settings) if name == "plateau" else None,
        momentum=None if cycled is None else _momentum(f"{key_path}.momentum", name, row, settings, cycled),
    )


def follows_optimizer(schedule: Schedule) -> bool:
    """Whether the optimizer's learning rate decides its rates: no peak of its own does, and no absolute shape.

    >>> [follows_optimizer(check("s", "cosine", given)) for given in ({}, {"peak": 0.1})]
    [True, False]
    """
    return schedule.peak is None and not _row(schedule.shape, schedule.shape).absolute


def uses_total(schedule: Schedule) -> bool:
    """Whether the beginning of the table changes when the run gets longer.

    >>> [uses_total(check("s", name, {})) for name in ("constant", "cosine")]
    [False, True]
    """
    depends = _row(schedule.shape, schedule.shape).uses_total
    return depends(schedule.settings) if callable(depends) else depends


def _shaped(schedule: Schedule, row: Shape, t: Array, total: float) -> Array:
    # Extreme settings overflow, and what comes of it is held against the limits of a learning rate.
    with np.errstate(all="ignore"):
        return np.asarray(row.function(t, total, **schedule.settings), np.float64)


def _with_warmup(schedule: Schedule, warmup: Warmup, row: Shape, time: Array, epochs: int) -> Array:
    # A run that ends inside the warm-up has no epochs for the shape, which needs some to have a beginning.
    total = epochs - warmup.epochs if epochs > warmup.epochs else 1.0
    body = _shaped(schedule, row, np.maximum(time - warmup.epochs, 0.0), total)
    top = float(_shaped(schedule, row, np.zeros((1, 1)), total)[0, 0]) if row.absolute else 1.0
    return np.where(time < warmup.epochs, top * ramp(time, warmup.epochs, start=warmup.start), body)


def _fractions(schedule: Schedule, row: Shape, epochs: int, steps: int) -> Array:
    """Fractions of the peak (the rates themselves of an absolute shape), [epochs, steps] or [epochs, 1]."""
    time = times(epochs, steps if schedule.by == "step" else 1)
    if schedule.warmup is None:
        return _shaped(schedule, row, time, float(epochs))
    return _with_warmup(schedule, schedule.warmup, row, time, epochs)


def table(
    schedule: Schedule, learning_rate: float, epochs: int, steps: int, decay: float = 0.0
) -> NDArray[np.float32]:
    """The learning rate of every step, float32 [epochs, steps].

    `learning_rate` is the peak where the schedule has none; `steps` is the number in an epoch; `decay` is
    Keras 2's, rate / (1 + decay * step) with steps counted from the very first. Computed in float64 and
    rounded once. Raises InputError for more than MOST rates, when a rate is negative, NaN or beyond float32, and
    where a user's own shape fails.

    >>> table(check("s", "linear", {"warmup": {"epochs": 1}}), 0.5, epochs=2, steps=2).tolist()
    [[0.0, 0.25], [0.5, 0.25]]
    """
    if epochs * steps > MOST:
        raise InputError(
            f"epochs: {epochs:,} epochs of {steps:,} steps have {epochs * steps:,} learning rates, and at most "
            f"{MOST:,} are possible; train fewer epochs, or with a larger batch_size"
        )
    row = _row(schedule.shape, schedule.shape)
    values = _fractions(schedule, row, epochs, steps)
    peak = learning_rate if schedule.peak is None else schedule.peak
    if peak == AUTO:
        raise InputError(f"{schedule.shape}.peak: expected a number, got 'auto'; test the range first")
    with np.errstate(all="ignore"):
        rates = values if row.absolute else peak * values
        if decay:
            rates = rates / (1.0 + decay * np.arange(epochs * steps).reshape(epochs, steps))
        result = np.broadcast_to(rates, (epochs, steps)).astype(np.float32, order="C")
        result += 0.0  # -0.0 is no other rate
    if not (np.isfinite(result).all() and (result >= 0).all()):
        worst = rates[~(np.isfinite(rates) & (rates >= 0) & (rates <= np.finfo(np.float32).max))][0]
        raise InputError(f"{schedule.shape}: expected learning rates of 0 or more, all finite, got {worst:g}")
    return result


def momentum_table(schedule: Schedule, epochs: int, steps: int) -> NDArray[np.float32] | None:
    """The momentum of every step, float32 [epochs, steps]; None where the schedule leaves it alone.

    It follows the shape, a warm-up in front of it included, but no `decay`. Rounded once.

    >>> one = check("s", "one-cycle", {"up": 0.5, "down": 0.25, "tail": 0.25, "momentum": {}})
    >>> momentum_table(one, epochs=2, steps=2).round(3).tolist()
    [[0.949999988079071, 0.8999999761581421], [0.8500000238418579, 0.949999988079071]]
    """
    row = _row(schedule.shape, schedule.shape)
    if schedule.momentum is None or row.lowest is None:
        return None
    fractions = _fractions(schedule, row, epochs, steps)
    values = against(fractions, row.lowest(schedule.settings), schedule.momentum)
    return np.broadcast_to(values, (epochs, steps)).astype(np.float32, order="C")


def require(key_path: str, schedule: Schedule, epochs: int) -> None:
    """Raise InputError when `schedule` needs epochs that a run does not have, or wastes the first one.

    The first is a warm-up as long as the run, a boundary past its end, parts that do not fill it; the second
    is a schedule by epoch that begins at 0.
    """
    total = float(epochs)
    if schedule.warmup is not None:
        total -= schedule.warmup.epochs
        if total <= 0:
            raise InputError(
                f"{key_path}.warmup: the warm-up takes {schedule.warmup.epochs:g} epochs and the run has "
                f"{epochs}, so the schedule itself never begins; run more epochs or make it shorter"
            )
    row = _row(key_path, schedule.shape)
    if row.require:
        row.require(key_path, schedule.settings, total)
    if schedule.by == "epoch" and table(schedule, 1.0, epochs, 1)[0, 0] == 0:
        raise InputError(
            f"{key_path}: it goes by epoch and begins at 0, so the whole first epoch would train nothing; "
            "begin above 0 (warmup.start) or say `by: step`"
        )
