"""Shapes that go up as well as down: restarts, cycles, one-cycle, warm-up-stable-decay.

Times, fractions and totals as in experiments.schedules.decays.
"""

from typing import Annotated, Any

import numpy as np

from experiments.schedules.decays import Array, Final, Settings, Shape, completed, progress, ramp
from experiments.settings import AT_LEAST_ONE, FRACTION, NOT_NEGATIVE, POSITIVE, REDUCTION, InputError

Period = Annotated[float, POSITIVE, "epochs of a cycle, twice Smith's step size"]
Base = Annotated[float, FRACTION, "the fraction of the peak that a cycle rises from"]


def sgdr(
    t: Array,
    total: float,
    *,
    period: Annotated[float, POSITIVE, "epochs of the first period"] = 10.0,
    multiplier: Annotated[float, AT_LEAST_ONE, "how many times as long each period is as the one before"] = 1.0,
    final: Final = 0.0,
    peak_decay: Annotated[float, REDUCTION, "how many times as high each peak is as the one before"] = 1.0,
) -> Array:
    """Cosine from the peak to `final`, again and again; the first period is `period` epochs long.

    Each period is `multiplier` times as long as the one before it, and its peak `peak_decay` times as high,
    but never below `final`. Source: Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983.

    >>> from experiments.schedules.decays import times
    >>> sgdr(times(2, 2), 2.0, period=1.0, peak_decay=0.5).round(3).tolist()
    [[1.0, 0.5], [0.5, 0.25]]
    """
    if multiplier == 1.0:
        count = completed(t, period)
        inside = t / period - count
    else:
        # count periods end at period (multiplier^count - 1) / (multiplier - 1): solved for count.
        count = np.floor(np.log1p(t * (multiplier - 1.0) / period) / np.log(multiplier) + 1e-9)
        length = period * multiplier**count
        inside = (t - (length - period) / (multiplier - 1.0)) / length
    fall = 0.5 * (1.0 + np.cos(np.pi * np.maximum(inside, 0.0)))
    peak = 1.0 if peak_decay == 1.0 else np.maximum(np.power(peak_decay, count), final)
    return final + (peak - final) * fall


def one_cycle(
    t: Array,
    total: float,
    *,
    up: Annotated[float, FRACTION, "the part of the epochs on the way up"] = 0.45,
    # Without a way down the rate would drop at one instant, which rounding may put at either of two steps.
    down: Annotated[float, REDUCTION, "the part of the epochs on the way down"] = 0.45,
    tail: Annotated[float, FRACTION, "the part of the epochs in the tail; the three add up to 1"] = 0.1,
    start_division: Annotated[float, AT_LEAST_ONE, "the peak divided by it is where the cycle begins"] = 25.0,
    final_division: Annotated[float, AT_LEAST_ONE, "the peak divided by it is where the tail ends"] = 1e4,
) -> Array:
    """Up from 1/start_division to 1, down again, then a tail to 1/final_division, all in straight lines.

    `up`, `down` and `tail` are fractions of the total and add up to 1; both divisions are of the peak.
    Source: Smith & Topin 2017, https://arxiv.org/abs/1708.07120.

    >>> from experiments.schedules.decays import times
    >>> one_cycle(times(2, 2), 2.0, up=0.5, down=0.25, tail=0.25, start_division=10.0).round(3).tolist()
    [[0.1, 0.55], [1.0, 0.1]]
    """
    low, end = 1.0 / start_division, 1.0 / final_division
    return np.interp(progress(t, total), [0.0, up, up + down, 1.0], [low, 1.0, low, end])


def _triangle(t: Array, period: float) -> tuple[Array, Array]:
    """Number of the cycle, and the height in it: 0 at both ends, 1 in the middle."""
    cycle = completed(t, period)
    inside = np.clip(t / period - cycle, 0.0, 1.0)
    return cycle, 1.0 - np.abs(2.0 * inside - 1.0)


def triangular(t: Array, total: float, *, period: Period = 8.0, base: Base = 0.25) -> Array:
    """From `base` up to 1 and back in straight lines, every `period` epochs (twice Smith's step size).

    Source: Smith 2015, https://arxiv.org/abs/1506.01186, as the next two.

    >>> from experiments.schedules.decays import times
    >>> triangular(times(2, 2), 2.0, period=2.0, base=0.2).round(3).tolist()
    [[0.2, 0.6], [1.0, 0.6]]
    """
    return base + (1.0 - base) * _triangle(t, period)[1]


def triangular2(t: Array, total: float, *, period: Period = 8.0, base: Base = 0.25) -> Array:
    """As triangular, each cycle rising half as far above `base` as the one before it.

    >>> from experiments.schedules.decays import times
    >>> triangular2(times(2, 2), 2.0, period=1.0, base=0.2).round(3).tolist()
    [[0.2, 1.0], [0.2, 0.6]]
    """
    cycle, height = _triangle(t, period)
    return base + (1.0 - base) * height * np.power(0.5, cycle)


def exp_range(
    t: Array,
    total: float,
    *,
    period: Period = 8.0,
    base: Base = 0.25,
    gamma: Annotated[float, REDUCTION, "what an epoch multiplies the rise above `base` by"] = 0.95,
) -> Array:
    """As triangular, the rise above `base` shrinking by `gamma` an epoch, all the time.

    >>> from experiments.schedules.decays import times
    >>> exp_range(times(2, 2), 2.0, period=2.0, base=0.2, gamma=0.5).round(3).tolist()
    [[0.2, 0.483], [0.6, 0.341]]
    """
    return base + (1.0 - base) * _triangle(t, period)[1] * np.power(gamma, t)


def warm_up_stable_decay(
    t: Array,
    total: float,
    *,
    warmup_epochs: Annotated[float, NOT_NEGATIVE, "epochs of the way up"] = 1.0,
    decay_fraction: Annotated[float, REDUCTION, "the part of the epochs at the end in which it falls"] = 0.2,
    exponent: Annotated[float, POSITIVE, "1 is a straight line down, 0.5 is 1-sqrt"] = 1.0,
    final: Final = 0.0,
) -> Array:
    """Linear from 0 to the peak, the peak, and down to `final` in the last `decay_fraction` of the total.

    The decay is 1 - x^exponent, x from 0 to 1: a straight line, or with exponent 0.5 the "1-sqrt" decay. Runs
    of different length share the trunk before the decay. Source: Hägele et al. 2024,
    https://arxiv.org/abs/2405.18392.

    >>> from experiments.schedules.decays import times
    >>> rates = warm_up_stable_decay(times(2, 4), 2.0, warmup_epochs=0.5, decay_fraction=0.5, final=0.2)
    >>> rates.round(3).tolist()
    [[0.0, 0.5, 1.0, 1.0], [1.0, 0.8, 0.6, 0.4]]
    """
    decay = decay_fraction * total
    x = np.clip((t - (total - decay)) / decay, 0.0, 1.0)
    down = 1.0 - (1.0 - final) * x**exponent
    return down if warmup_epochs == 0 else down * ramp(t, warmup_epochs)


def _whole_cycle(key_path: str, settings: dict[str, Any]) -> dict[str, Any]:
    fractions = [settings[name] for name in ("up", "down", "tail")]
    if abs(sum(fractions) - 1.0) > 1e-9:
        raise InputError(
            f"{key_path}: expected up, down and tail to add up to 1, "
            f"got {' + '.join(f'{f:g}' for f in fractions)} = {sum(fractions):g}"
        )
    return settings


def _room_to_decay(key_path: str, settings: Settings, total: float) -> None:
    before = (1.0 - settings["decay_fraction"]) * total
    if settings["warmup_epochs"] > before + 1e-9:
        raise InputError(
            f"{key_path}.warmup_epochs: the warm-up takes {settings['warmup_epochs']:g} epochs and the decay "
            f"begins after {before:g}; run more epochs or make it shorter"
        )


def _base(settings: Settings) -> float:
    return float(settings["base"])


ROWS: dict[str, Shape] = {
    "sgdr": Shape(
        sgdr,
        uses_total=False,
    ),
    "one-cycle": Shape(
        one_cycle,
        uses_total=True,
        agree=_whole_cycle,
        lowest=lambda settings: 1.0 / float(settings["start_division"]),
    ),
    "triangular": Shape(triangular, uses_total=False, lowest=_base),
    "triangular2": Shape(triangular2, uses_total=False, lowest=_base),
    "exp-range": Shape(exp_range, uses_total=False, lowest=_base),
    "warm-up-stable-decay": Shape(
        warm_up_stable_decay,
        uses_total=True,
        require=_room_to_decay,
    ),
}
