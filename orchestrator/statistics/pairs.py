"""The differences of recipes over the seeds that they share, each with a spread that borrows from the others."""

from dataclasses import dataclass

import numpy as np

from orchestrator.statistics.descriptive import TOLERANCE, Bools, Floats, Ints
from orchestrator.statistics.spread import typical_variance

RIVALS = 100
"""Recipes are compared with this many, those that rank first: the others decide nothing, and all pairs are too
many."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Each recipe, a row, against each rival, a column. Arrays are [K recipes, C rivals].

    rivals: int64 [C], the numbers of the recipes that are rivals.
    n: int64, the seeds that both have.
    mean: float64, the mean over those seeds of the recipe's value minus the rival's; NaN without a common seed.
    variance, degrees: float64, of one seed's difference, moderated; NaN where a pair cannot be tested: it has
    fewer than two common seeds, is a recipe and itself, or has the same difference in every seed and nothing to
    borrow.
    borrowed: the degrees of freedom in `degrees` that come from the other pairs.
    """

    rivals: Ints
    n: Ints
    mean: Floats
    variance: Floats
    degrees: Floats
    borrowed: float

    @property
    def tested(self) -> Bools:
        """Which pairs can be tested: bool [K, C]."""
        return np.isfinite(self.variance)

    @property
    def error(self) -> Floats:
        """The standard error of each mean difference."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.sqrt(self.variance / self.n)

    def above(self) -> Floats:
        """The one-sided p of each pair: the chance of so large a lead of the rival if the recipe were as good."""
        from scipy.special import stdtr

        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(stdtr(self.degrees, self.mean / self.error), np.float64)

    def quantile(self, share: Floats) -> Floats:
        """Student's t of each pair at the cumulative probability `share`, an array that fits [K, C]."""
        from scipy.special import stdtrit

        return np.asarray(stdtrit(self.degrees, share), np.float64)

    def wins(self) -> Floats:
        """The probability that the recipe beats the rival on a new seed: float64 [K, C], NaN without a test.

        A new difference is predicted by Student's t around the mean, with variance s² (1 + 1/n). The measure is
        that of Bouthillier et al., "Accounting for variance in machine learning benchmarks" (2021), arXiv
        2103.03098.
        """
        from scipy.special import stdtr

        with np.errstate(invalid="ignore", divide="ignore"):
            new_seed = np.sqrt(self.variance * (1 + 1 / self.n))
            return np.asarray(stdtr(self.degrees, self.mean / new_seed), np.float64)


def compare(values: Floats, rivals: Ints) -> Pairs:
    """The pairs of `values`, float64 [K recipes, S seeds] where more is better and NaN is a missing seed.

    At most half of the degrees of freedom that the recipes have together are borrowed, so that recipes which truly
    differ in spread are not taken for alike.
    """
    n, total, squares = (np.zeros((len(values), len(rivals))) for _ in range(3))
    differences = [column[:, None] - column[rivals][None, :] for column in values.T]
    for difference in differences:
        shared = ~np.isnan(difference)
        n += shared
        total += np.where(shared, difference, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / n
        for difference in differences:
            squares += np.nan_to_num(difference - mean) ** 2
        variance = squares / (n - 1)
    variance[variance <= (TOLERANCE * np.maximum(np.abs(mean), 1.0)) ** 2] = 0.0
    number = np.arange(len(values))
    degrees = np.where((n > 1) & (rivals[None, :] != number[:, None]), n - 1, np.nan)
    variance = np.where(np.isnan(degrees), np.nan, variance)
    place = np.full(len(values), len(rivals))
    place[rivals] = np.arange(len(rivals))
    # A pair of two rivals stands in the table twice.
    once = np.isfinite(variance) & (place[:, None] > np.arange(len(rivals))[None, :])
    seeds = np.sum(~np.isnan(values), axis=1)
    residual = float((np.maximum(seeds - 1, 0)).sum())
    limit = (residual - 2 * float(np.mean(degrees[once]))) / 2 if once.any() else 0.0
    typical = typical_variance(variance[once], degrees[once], limit)
    moderated, total_degrees = typical.moderate(variance, degrees)
    testable = moderated > 0
    return Pairs(
        rivals=rivals,
        n=n.astype(np.int64),
        mean=mean,
        variance=np.where(testable, moderated, np.nan),
        degrees=np.where(testable, total_degrees, np.nan),
        borrowed=typical.degrees,
    )
