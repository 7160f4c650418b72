"""Statistics of a few seeds: intervals, paired tests, ranks and performance profiles.

Values come as a flat array, one per trial, with the number of the group (the recipe) of each. Groups may differ in
size: nothing is padded. Values are float64.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LEVEL = 0.95
# Values that differ by less are equal: 0.91 - 0.90 is not 0.93 - 0.92 in binary.
TOLERANCE = 1e-12
ONE_VALUE, EQUAL_VALUES, WITHOUT_BOUND = "one seed", "equal in every seed", "a value without bound"


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """The mean of each group and its confidence interval; NaN where a group has none. `n` int64, rest float64."""

    n: Ints
    mean: Floats
    low: Floats
    high: Floats
    deviation: Floats

    @property
    def reasons(self) -> list[str | None]:
        """Why each group has no interval; None for a group with an interval or without values."""
        result: list[str | None] = []
        for n, mean, low in zip(self.n, self.mean, self.low, strict=True):
            kind = ONE_VALUE if n == 1 else EQUAL_VALUES if np.isfinite(mean) else WITHOUT_BOUND
            result.append(kind if n and np.isnan(low) else None)
        return result


@dataclass(frozen=True, kw_only=True)
class Differences:
    """Differences of each group to one group over `pairs` common seeds: mean and interval, NaN where not known."""

    pairs: Ints
    mean: Floats
    low: Floats
    high: Floats


def quantile(share: float, degrees: Ints) -> Floats:
    """Student's t at the cumulative probability `share`, for each number of degrees of freedom (at least 1)."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(degrees.astype(np.float64), share), np.float64)


def intervals(
    values: Floats, groups: Ints, count: int, bounds: tuple[float, float], level: float = LEVEL
) -> Intervals:
    """Mean and two-sided t-interval of each of `count` groups; `values` and `groups` have one entry per trial.

    The interval needs two finite values: from one value, low, high and deviation are NaN. Equal values have no
    interval either: accuracies are counts of images, so a few seeds agree by chance, and an interval of width zero
    would claim certainty. An infinite value makes the mean infinite and leaves no interval. Both ends are clipped
    to `bounds`, as no accuracy lies above 1.

    Source: Student, "The probable error of a mean", Biometrika 6 (1908).

    >>> accuracy = intervals(np.array([0.90, 0.92, 0.94]), np.zeros(3, np.int64), 1, (0.0, 1.0))
    >>> [round(float(x[0]), 4) for x in (accuracy.mean, accuracy.low, accuracy.high)]
    [0.92, 0.8703, 0.9697]
    """
    n = np.bincount(groups, minlength=count).astype(np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(groups, values, count) / n
        squares = np.bincount(groups, (values - mean[groups]) ** 2, count)
        deviation = np.where(n > 1, np.sqrt(squares / (n - 1)), np.nan)
        half_width = quantile(0.5 + level / 2, np.maximum(n - 1, 1)) * deviation / np.sqrt(n)
        half_width = np.where(deviation <= TOLERANCE * np.maximum(np.abs(mean), 1.0), np.nan, half_width)
        low, high = np.clip(mean - half_width, *bounds), np.clip(mean + half_width, *bounds)
    return Intervals(n=n, mean=np.where(n > 0, mean, np.nan), low=low, high=high, deviation=deviation)


def ranks(scores: Floats) -> Ints:
    """Competition ranks from 1, the largest score first; equal scores share a rank (1, 1, 3); NaN has rank 0.

    >>> ranks(np.array([0.9, 0.95, np.nan, 0.95])).tolist()
    [3, 1, 0, 1]
    """
    scored = ~np.isnan(scores)
    sorted_values = np.sort(-scores[scored])
    result = np.zeros(len(scores), np.int64)
    result[scored] = np.searchsorted(sorted_values, -scores[scored], side="left") + 1
    return result


def leveled(values: Floats) -> Floats:
    """`values` without differences that are rounding errors; NaN and infinite values stay.

    The mean of the same numbers in another order may differ in its last digit, which must not decide a rank.

    >>> leveled(np.array([0.3, 0.5, 0.1 + 0.2])).tolist()
    [0.3, 0.5, 0.3]
    """
    finite = np.flatnonzero(np.isfinite(values))
    order = finite[np.argsort(values[finite], kind="stable")]
    sorted_values = values[order]
    distinct = np.diff(sorted_values, prepend=-np.inf) > TOLERANCE * np.maximum(np.abs(sorted_values), 1.0)
    result = values.copy()
    result[order] = sorted_values[np.maximum.accumulate(np.where(distinct, np.arange(len(order)), 0))]
    return result


def medians(values: Floats, groups: Ints, count: int) -> Floats:
    """The median of each group; infinite if half or more of its values are infinite; NaN for an empty group.

    >>> medians(np.array([3.0, np.inf, 1.0, np.inf, 2.0]), np.array([0, 0, 0, 1, 1]), 3).tolist()
    [3.0, inf, nan]
    """
    order = np.lexsort((values, groups))
    sorted_values, n = values[order], np.bincount(groups, minlength=count)
    first = np.cumsum(n) - n
    if not len(values):
        return np.full(count, np.nan)
    last_row = len(values) - 1
    lower = sorted_values[np.minimum(first + np.maximum(n - 1, 0) // 2, last_row)]
    upper = sorted_values[np.minimum(first + n // 2, last_row)]
    return np.where(n > 0, (lower + upper) / 2, np.nan)


def ratios(times: Floats, problems: Ints) -> Floats:
    """Each time over the smallest time of its problem; an infinite time has an infinite ratio.

    This is the abscissa of a performance profile, whose ordinate is the share of problems that a method solves
    within that ratio.

    Source: Dolan and Moré, "Benchmarking optimization software with performance profiles" (2002).

    >>> ratios(np.array([10.0, 5.0, np.inf, np.inf]), np.array([0, 0, 0, 1])).tolist()
    [2.0, 1.0, inf, inf]
    """
    problem_ids, position = np.unique(problems, return_inverse=True)
    fastest = np.full(len(problem_ids), np.inf)
    measurable = np.maximum(times, 1e-9)
    np.minimum.at(fastest, position, measurable)
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(times), np.inf, measurable / fastest[position])


def profile_scores(ratio: Floats, groups: Ints, count: int, limit: float = 4.0) -> Floats:
    """The area under each group's profile from ratio 1 to `limit`, over that width; 1 means always the fastest.

    Source: Dahl et al., "Benchmarking neural network training algorithms" (AlgoPerf, 2023), with limit 4.

    >>> profile_scores(np.array([1.0, 2.5, np.inf]), np.array([0, 0, 1]), 2).tolist()
    [0.75, 0.0]
    """
    area = np.clip((limit - ratio) / (limit - 1), 0.0, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.bincount(groups, area, count) / np.bincount(groups, minlength=count), np.float64)
