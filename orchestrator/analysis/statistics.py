"""What a handful of seeds can and cannot say: intervals, paired tests, ranks and performance profiles.

Values come flat, one per trial, with the number of the group (the recipe) they belong to. Groups may have
different numbers of values: nothing is padded. Everything is float64.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVEL = 0.95
# Figures that agree to this are the same figure: 0.91 - 0.90 is not 0.93 - 0.92 in binary.
SAME = 1e-12
ONE_VALUE, EQUAL_VALUES, WITHOUT_BOUND = "one seed", "equal in every seed", "a value without bound"


@dataclass(frozen=True)
class Intervals:
    """Mean and its confidence interval, one per group; NaN where there is none. `n` int64, rest float64."""

    n: Ints
    mean: Floats
    low: Floats
    high: Floats
    deviation: Floats

    @property
    def reasons(self) -> list[str | None]:
        """Why a group with values has no interval; None where it has one, or no values."""
        result: list[str | None] = []
        for n, mean, low in zip(self.n, self.mean, self.low, strict=True):
            kind = ONE_VALUE if n == 1 else EQUAL_VALUES if np.isfinite(mean) else WITHOUT_BOUND
            result.append(kind if n and np.isnan(low) else None)
        return result


@dataclass(frozen=True)
class Differences:
    """Paired differences to one group, one per group: mean, interval, two-sided p (NaN: no test), pairs."""

    pairs: Ints
    mean: Floats
    low: Floats
    high: Floats
    p: Floats


def quantile(share: float, degrees: Ints) -> Floats:
    """Student's t for a cumulative `share` at the degrees of freedom given (at least 1)."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(degrees.astype(np.float64), share), np.float64)


def intervals(
    values: Floats, groups: Ints, count: int, bounds: tuple[float, float], level: float = LEVEL
) -> Intervals:
    """Mean and two-sided t-interval of each of `count` groups; `values` and `groups` have one entry per
    trial.

    The interval needs two values that are numbers: with one, nothing is known about spread, and low, high and
    deviation are NaN. Nor is there one where all values are equal: accuracies are counts of images, so that a
    few seeds agree by luck, and an interval without width would claim certainty. An infinite value makes the
    mean infinite and leaves no interval. Ends are clipped to `bounds`, as no accuracy lies above 1. Source:
    Student, "The probable error of a mean", Biometrika 6 (1908).

    >>> found = intervals(np.array([0.90, 0.92, 0.94]), np.zeros(3, np.int64), 1, (0.0, 1.0))
    >>> [round(float(x[0]), 4) for x in (found.mean, found.low, found.high)]
    [0.92, 0.8703, 0.9697]
    """
    n = np.bincount(groups, minlength=count).astype(np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(groups, values, count) / n
        squares = np.bincount(groups, (values - mean[groups]) ** 2, count)
        deviation = np.where(n > 1, np.sqrt(squares / (n - 1)), np.nan)
        half = quantile(0.5 + level / 2, np.maximum(n - 1, 1)) * deviation / np.sqrt(n)
        half = np.where(deviation <= SAME * np.maximum(np.abs(mean), 1.0), np.nan, half)
        low, high = np.clip(mean - half, *bounds), np.clip(mean + half, *bounds)
    return Intervals(n, np.where(n > 0, mean, np.nan), low, high, deviation)


def paired(
    values: Floats, groups: Ints, seeds: Ints, against: int, count: int, *, level: float = LEVEL
) -> Differences:
    """Each group minus group `against`, over the seeds that both have; `values`, `groups`, `seeds` per trial.

    A seed may occur once in a group. p is that of the paired t-test, with one exception: where every
    difference is the same but not zero, their spread is zero and chance cannot be measured (with two seeds
    and accuracies that are counts of images this happens by luck), so p is NaN and not 0. Equal in every
    seed: p = 1. Fewer than two common seeds, or an infinite value: NaN.

    >>> seeds = np.array([0, 1, 2, 0, 1, 2])
    >>> found = paired(np.array([0.9, 0.8, 0.7, 0.8, 0.6, 0.4]), np.array([0, 0, 0, 1, 1, 1]), seeds, 0, 2)
    >>> round(float(found.mean[1]), 3), round(float(found.p[1]), 4)
    (-0.2, 0.0742)
    """
    from scipy.special import stdtr

    ours = groups == against
    order = np.argsort(seeds[ours])
    known, reference = seeds[ours][order], values[ours][order]
    if not len(known):
        nothing = np.full(count, np.nan)
        return Differences(np.zeros(count, np.int64), nothing, nothing, nothing, nothing)
    place = np.minimum(np.searchsorted(known, seeds), len(known) - 1)
    common = known[place] == seeds
    with np.errstate(invalid="ignore", divide="ignore"):
        change = values[common] - reference[place][common]
        found = intervals(change, groups[common], count, (-np.inf, np.inf), level)
        t = np.abs(found.mean) / (found.deviation / np.sqrt(found.n))
        p = 2 * stdtr(np.maximum(found.n - 1, 1).astype(np.float64), -t)
    flat = found.deviation <= SAME
    p = np.where(flat, np.where(np.abs(found.mean) <= SAME, 1.0, np.nan), p)
    return Differences(found.n, found.mean, found.low, found.high, np.where(found.n > 1, p, np.nan))


def holm(p: Floats) -> Floats:
    """p-values corrected for having made all these tests at once; NaN (no test) stays and does not count.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979).

    >>> holm(np.array([0.01, 0.04, np.nan, 0.03])).tolist()
    [0.03, 0.06, nan, 0.06]
    """
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    adjusted = np.full(len(p), np.nan)
    steps = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * steps), 1.0) if len(order) else []
    return adjusted


def least_visible(pairs: int, comparisons: int, level: float = LEVEL) -> float:
    """The smallest mean difference the corrected paired test can see, in standard deviations of the
    difference.

    For the strictest step of Holm, which the first finding has to pass: t(1 - alpha / 2m; n - 1) / sqrt(n).

    >>> round(least_visible(3, 1), 2), round(least_visible(3, 11), 2), round(least_visible(10, 11), 2)
    (2.48, 8.53, 1.19)
    """
    share = 1 - (1 - level) / (2 * comparisons)
    return float(quantile(share, np.array([pairs - 1]))[0] / np.sqrt(pairs))


def ranks(scores: Floats) -> Ints:
    """Competition ranks from 1, the largest first, equals sharing a rank (1, 1, 3); 0 where the score is NaN.

    >>> ranks(np.array([0.9, 0.95, np.nan, 0.95])).tolist()
    [3, 1, 0, 1]
    """
    there = ~np.isnan(scores)
    ordered = np.sort(-scores[there])
    result = np.zeros(len(scores), np.int64)
    result[there] = np.searchsorted(ordered, -scores[there], side="left") + 1
    return result


def leveled(values: Floats) -> Floats:
    """`values` with those that are equal but for rounding made equal; NaN and infinite ones stay.

    The mean of the same numbers in another order may differ in its last digit, which decides nothing.

    >>> leveled(np.array([0.3, 0.5, 0.1 + 0.2])).tolist()
    [0.3, 0.5, 0.3]
    """
    finite = np.flatnonzero(np.isfinite(values))
    order = finite[np.argsort(values[finite], kind="stable")]
    ordered = values[order]
    apart = np.diff(ordered, prepend=-np.inf) > SAME * np.maximum(np.abs(ordered), 1.0)
    result = values.copy()
    result[order] = ordered[np.maximum.accumulate(np.where(apart, np.arange(len(order)), 0))]
    return result


def medians(values: Floats, groups: Ints, count: int) -> Floats:
    """The median of each group; infinite where half or more of the values are; NaN for an empty group.

    >>> medians(np.array([3.0, np.inf, 1.0, np.inf, 2.0]), np.array([0, 0, 0, 1, 1]), 3).tolist()
    [3.0, inf, nan]
    """
    order = np.lexsort((values, groups))
    ordered, n = values[order], np.bincount(groups, minlength=count)
    first = np.cumsum(n) - n
    if not len(values):
        return np.full(count, np.nan)
    last = len(values) - 1
    lower = ordered[np.minimum(first + np.maximum(n - 1, 0) // 2, last)]
    upper = ordered[np.minimum(first + n // 2, last)]
    return np.where(n > 0, (lower + upper) / 2, np.nan)


def ratios(times: Floats, problems: Ints) -> Floats:
    """Each time over the smallest time of its problem; infinite where the time is.

    The abscissa of a performance profile: the share of problems a method solves within `ratio` times the time
    of the fastest. Source: Dolan and Moré, "Benchmarking optimization software with performance profiles"
    (2002).

    >>> ratios(np.array([10.0, 5.0, np.inf, np.inf]), np.array([0, 0, 0, 1])).tolist()
    [2.0, 1.0, inf, inf]
    """
    names, place = np.unique(problems, return_inverse=True)
    fastest = np.full(len(names), np.inf)
    measurable = np.maximum(times, 1e-9)
    np.minimum.at(fastest, place, measurable)
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(times), np.inf, measurable / fastest[place])


def profile_scores(found: Floats, groups: Ints, count: int, limit: float = 4.0) -> Floats:
    """The area under each group's profile from ratio 1 to `limit`, over that width: 1 is always the fastest.

    Source: Dahl et al., "Benchmarking neural network training algorithms" (AlgoPerf, 2023), which takes limit
    4.

    >>> profile_scores(np.array([1.0, 2.5, np.inf]), np.array([0, 0, 1]), 2).tolist()
    [0.75, 0.0]
    """
    area = np.clip((limit - found) / (limit - 1), 0.0, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.bincount(groups, area, count) / np.bincount(groups, minlength=count), np.float64)
