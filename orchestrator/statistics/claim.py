"""What can be claimed about the best recipe: the set that contains it, its probability, and its corrected value.

All values here are scores, where more is better: a loss counts with its sign turned.
"""

from dataclasses import dataclass

import numpy as np

from orchestrator.statistics.descriptive import TOLERANCE, Bools, Floats, Ints
from orchestrator.statistics.pairs import RIVALS, Pairs, compare
from orchestrator.statistics.spread import typical_variance

QUANTILES = 256
"""Points at which an integral over a recipe's mean is taken."""
SMALLEST_SHARE = 0.25
"""A recipe's own variance is at least this share of a typical one's: a difference of medians may be negative."""


@dataclass(frozen=True, kw_only=True)
class CorrectedValue:
    """The winner's score after correction for having been chosen, and the interval that allows for the choice."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What the seeds show. Arrays have one entry per recipe.

    pairs: every recipe against those that rank first.
    p: the smallest error probability at which the recipe leaves the confidence set; NaN for one without a test.
    in_set: bool, the recipes that may be the best; those without a test may always be.
    behind_at_most: float64, how far the recipe is behind the best at most, at the level of the set, or NaN.
    best_probability: float64, the probability of being the best; NaN for a recipe that is not compared.
    winner: the value of the first recipe; None where no spread is known or one of its seeds diverged.
    """

    pairs: Pairs
    p: Floats
    in_set: Bools
    behind_at_most: Floats
    best_probability: Floats
    winner: CorrectedValue | None


def claim(scores: Floats, order: Ints, compared: Bools, reliable: Bools, level: float) -> Claim:
    """The claim from `scores`, float64 [K recipes, S seeds], NaN where a recipe lacks a seed.

    order: int64 [K], the recipes, the best first.
    compared: bool [K], those that take part.
    reliable: bool [K], those that may rule others out: not a recipe with diverged seeds, as its good seeds say too
    little about it.
    """
    rivals = np.array([recipe for recipe in order if compared[recipe]][:RIVALS], np.int64)
    pairs = compare(np.where(compared[:, None] & np.isfinite(scores), scores, np.nan), rivals)
    p, behind_at_most = _tests(pairs, compared & reliable, level)
    candidates = rivals[reliable[rivals]]
    means, errors = _means_and_errors(scores, pairs, candidates)
    best_probability = np.full(len(scores), np.nan)
    best_probability[compared & reliable] = 0.0
    best_probability[candidates] = probability_of_best(*shrunken(means, errors))
    return Claim(
        pairs=pairs,
        p=p,
        in_set=compared & ~(p <= 1 - level),
        behind_at_most=behind_at_most,
        best_probability=best_probability,
        winner=_corrected(scores, candidates, means, errors, level) if reliable[rivals[:1]].all() else None,
    )


def _tests(pairs: Pairs, eligible: Bools, level: float) -> tuple[Floats, Floats]:
    """The p of each recipe, and how far it is behind the best at most.

    A recipe leaves the set when some rival is better in a one-sided t-test at alpha / m, where m is the number of
    its comparisons. Only one recipe is the best, so the probability that it is left out is at most alpha, however
    many recipes are tested (Gupta 1965, "On some multiple decision (selection and ranking) rules"; the bounds are
    those of Hsu 1984, "Constrained simultaneous confidence intervals for multiple comparisons with the best", with
    Bonferroni's inequality in the place of equal variances).
    """
    number = np.arange(len(eligible))
    comparisons = np.maximum(eligible.sum() - eligible, 1)[:, None].astype(np.float64)
    other = eligible[pairs.rivals][None, :] & (pairs.rivals[None, :] != number[:, None])
    tested = other & pairs.tested
    p = np.min(np.where(tested, pairs.above(), np.inf), axis=1, initial=np.inf)
    bound = pairs.quantile(1 - (1 - level) / comparisons) * pairs.error - pairs.mean
    behind = np.max(np.where(tested, bound, -np.inf), axis=1, initial=-np.inf)
    known = tested.any(axis=1) & (tested == other).all(axis=1)
    p = np.where(np.isfinite(p), np.minimum(p * comparisons[:, 0], 1.0), np.nan)
    return p, np.where(known, np.maximum(behind, 0.0), np.nan)


def _means_and_errors(scores: Floats, pairs: Pairs, candidates: Ints) -> tuple[Floats, Floats]:
    """The mean score of each candidate, and its standard error without what all recipes have in common in a seed.

    The variance of a pair is the sum of two recipes' own variances. A recipe's own is the median of its pairs'
    less that of a typical recipe, which is half of the median of all pairs: a few unstable recipes move neither.
    Errors are NaN where no pair has a variance.
    """
    n, means, _ = _moments(scores[candidates])
    columns = np.flatnonzero(np.isin(pairs.rivals, candidates))
    variance = pairs.variance[np.ix_(candidates, columns)]
    known = np.isfinite(variance).any(axis=1)
    if len(candidates) < 2 or not known.any():
        return means, np.full(len(candidates), np.nan)
    typical = float(np.nanmedian(variance)) / 2
    own = np.full(len(candidates), typical)
    own[known] = np.nanmedian(variance[known], axis=1) - typical
    return means, np.sqrt(np.maximum(own, SMALLEST_SHARE * typical) / n)


def _moments(values: Floats) -> tuple[Ints, Floats, Floats]:
    """The number of finite values in each row, their mean, and their variance, which is NaN for fewer than two.

    Equal values whose mean is rounded have the variance 0.
    """
    n = np.sum(np.isfinite(values), axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(np.isfinite(values), values, 0.0).sum(axis=1) / n
        squares = np.nan_to_num(values - mean[:, None]) ** 2
        variance = np.where(n > 1, squares.sum(axis=1) / (n - 1), np.nan)
        variance[variance <= (TOLERANCE * np.maximum(np.abs(mean), 1.0)) ** 2] = 0.0
    return n, mean, variance


def _moderated(variance: Floats, n: Ints) -> tuple[Floats, Floats]:
    """The variances of recipes drawn towards what is typical of them, and the degrees of freedom of each.

    At most half of the degrees of freedom of the others are borrowed.
    """
    known, degrees = n > 1, np.asarray(n - 1, np.float64)
    limit = float((degrees[known].sum() - degrees[known].mean()) / 2)
    return typical_variance(variance[known], degrees[known], limit).moderate(variance, degrees)


def shrunken(means: Floats, errors: Floats) -> tuple[Floats, Floats]:
    """The posterior means and deviations of recipes whose true means are drawn from one normal distribution.

    Source: Efron and Morris, "Data analysis using Stein's estimator and its generalizations" (1975): the variance
    between recipes is that of their means less the mean squared error, and not below 0. Without it the luckiest of
    many equal recipes would be given a high probability of being the best.

    >>> shrunken(np.array([0.0, 1.0]), np.array([0.5, 0.5]))
    (array([0.25, 0.75]), array([0.35355339, 0.35355339]))
    """
    if len(means) < 2 or np.isnan(errors).any():
        return means, errors
    between = max(float(np.var(means, ddof=1) - np.mean(errors**2)), 0.0)
    weight = np.divide(between, between + errors**2, out=np.zeros_like(means), where=between + errors**2 > 0)
    center = means.mean()
    return center + weight * (means - center), np.sqrt(weight) * errors


def probability_of_best(means: Floats, errors: Floats) -> Floats:
    """The probability of each recipe to have the largest mean: float64, sums to 1; NaN without errors.

    P(i) is the integral of f_i(x) times the product of the other F_k(x), with normal densities f and distributions
    F.

    >>> probability_of_best(np.array([1.0, 1.0, -9.0]), np.array([0.1, 0.1, 0.1])).round(3).tolist()
    [0.5, 0.5, 0.0]
    """
    if len(means) < 2:
        return np.ones(len(means))
    if np.isnan(errors).any():
        return np.full(len(means), np.nan)
    if not errors.any():
        return np.asarray((means == means.max()) / np.sum(means == means.max()), np.float64)
    largest, _ = _integrals(means, errors)
    return np.asarray(largest / largest.sum(), np.float64)


def _integrals(means: Floats, errors: Floats) -> tuple[Floats, Floats]:
    """For each recipe the integrals of f_i and of (x - mean_i) f_i, both times the product of the other F_k."""
    from scipy.special import ndtr, ndtri

    quantiles = ndtri((np.arange(QUANTILES) + 0.5) / QUANTILES)
    errors = np.maximum(errors, 1e-9 * max(float(np.max(np.abs(means))), 1e-9))
    largest, excess = np.zeros(len(means)), np.zeros(len(means))
    for number in range(len(means)):
        x = means[number] + errors[number] * quantiles
        below = ndtr((x[:, None] - means[None, :]) / errors[None, :])
        below[:, number] = 1.0
        product = below.prod(axis=1)
        largest[number] = product.mean()
        excess[number] = ((x - means[number]) * product).mean()
    return largest, excess


def _corrected(
    scores: Floats, candidates: Ints, means: Floats, errors: Floats, level: float
) -> CorrectedValue | None:
    """The first candidate's mean less what it owes to having been chosen, and an interval that allows for it.

    The correction is the parametric bootstrap's: by how much the largest of the means, drawn around those that
    were measured, exceeds its own centre on average. It is at most what the luckiest of as many recipes gains that
    spread as the first one does (the expected largest of normal values, Blom 1958). The lower end is simultaneous
    over all candidates, as any of them may have been chosen (Berk et al. 2013, "Valid post-selection inference");
    a choice of the largest does not make a mean too small, so the upper end needs no correction. What all recipes
    have in common in a seed lends the upper end no degrees of freedom: correlated variances count as few
    independent ones. The lower end is no nearer to the mean than the upper one.
    """
    if not len(candidates):
        return None
    n, _, variance = _moments(scores[candidates])
    if n[0] < 2:
        return None
    moderated, total = _moderated(variance, n)
    if not moderated[0] > 0:
        return None
    from scipy.special import ndtri, stdtrit

    known, count, own_degrees = n > 1, len(candidates), float(n[0] - 1)
    correlation = _correlation(variance[known], (errors**2 * n)[known])
    independent = (total[0] - own_degrees) * (1 - correlation**2) / (1 + (count - 1) * correlation**2)
    error, alpha = float(np.sqrt(moderated[0] / n[0])), (1 - level) / 2
    alone = float(stdtrit(own_degrees + independent, 1 - alpha))
    of_all = float(stdtrit(total[0], 1 - alpha / count))
    excess = 0.0
    if count > 1 and not np.isnan(errors).any():
        luckiest = float(ndtri((count - 0.375) / (count + 0.25)) * errors[0])
        excess = min(float(_integrals(means, errors)[1].sum()), luckiest)
    low = float(means[0]) - max(alone, of_all) * error
    return CorrectedValue(value=max(float(means[0]) - excess, low), low=low, high=float(means[0]) + alone * error)


def _correlation(variances: Floats, without_common: Floats) -> float:
    """The correlation of two typical recipes over the seeds: the share of variance in common, between 0 and 1.

    variances: of each recipe over the seeds. without_common: the same without what all recipes have in common in a
    seed. The result is 1, which lends nothing, where that is not known.
    """
    if np.isnan(without_common).any() or not np.median(variances) > 0:
        return 1.0
    return float(np.clip(1 - np.median(without_common) / np.median(variances), 0.0, 1.0))
