"""The pairs and the confidence set once more, as loops over lists: what the arrays have to agree with."""

import math
import statistics
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import digamma, polygamma
from scipy.stats import t as student

Scores = list[list[float]]
"""One list of values a recipe, NaN where it lacks a seed."""
NONE = math.nan


@dataclass(frozen=True)
class Pair:
    """A recipe against a rival; `variance` and `degrees` are moderated, NaN without a test, as is `above`."""

    n: int
    mean: float
    variance: float
    degrees: float

    @property
    def above(self) -> float:
        """The one-sided p."""
        if math.isnan(self.variance):
            return NONE
        return float(student.cdf(self.mean / math.sqrt(self.variance / self.n), self.degrees))

    def quantile(self, share: float) -> float:
        """By how much the mean may exceed the true one with the probability `share`."""
        if math.isnan(self.variance):
            return NONE
        return float(student.ppf(share, self.degrees)) * math.sqrt(self.variance / self.n)


def differences(recipe: list[float], rival: list[float]) -> list[float]:
    """The recipe minus the rival in each seed that both have."""
    return [a - b for a, b in zip(recipe, rival, strict=True) if not math.isnan(a) and not math.isnan(b)]


def sample_variance(values: list[float]) -> float:
    """The variance of two values or more; 0 where they differ by rounding errors only."""
    variance = statistics.variance(values)
    return 0.0 if math.sqrt(variance) <= 1e-12 * max(abs(statistics.fmean(values)), 1.0) else variance


def typical(variances: list[tuple[float, int]], limit: float) -> tuple[float, float]:
    """Smyth's s0² and d0 from variances and their degrees of freedom; 0 and 0 without."""
    positive = [(variance, degrees) for variance, degrees in variances if variance > 0]
    if len(positive) < 2 or limit <= 0:
        return 0.0, 0.0
    floor = 0.01 * statistics.median(variance for variance, _ in positive)
    logs = [math.log(max(s2, floor)) - float(digamma(d / 2)) + math.log(d / 2) for s2, d in positive]
    beyond_chance = statistics.variance(logs) - statistics.fmean(float(polygamma(1, d / 2)) for _, d in positive)
    worth = 1e6
    if beyond_chance > 0:
        root = brentq(lambda y: float(polygamma(1, y)) - beyond_chance, 1e-6, 1e12, rtol=1e-14)
        worth = min(2 * root, 1e6)
    return math.exp(statistics.fmean(logs) + float(digamma(worth / 2)) - math.log(worth / 2)), min(worth, limit)


def compare(scores: Scores, rivals: list[int]) -> list[list[Pair]]:
    """Every recipe, an outer list, against every rival."""
    table = [[differences(recipe, scores[rival]) for rival in rivals] for recipe in scores]
    tested = {
        (k, c): (sample_variance(table[k][c]), len(table[k][c]) - 1)
        for k in range(len(scores))
        for c in range(len(rivals))
        if len(table[k][c]) > 1 and rivals[c] != k
    }
    once: dict[frozenset[int], tuple[float, int]] = {}
    for (k, c), variance in tested.items():
        once.setdefault(frozenset((k, rivals[c])), variance)
    limit = 0.0
    if once:
        seeds = [sum(not math.isnan(value) for value in recipe) for recipe in scores]
        of_recipes = sum(max(n - 1, 0) for n in seeds)
        limit = (of_recipes - 2 * statistics.fmean(degrees for _, degrees in once.values())) / 2
    variance0, degrees0 = typical(list(once.values()), limit)

    def pair(k: int, c: int) -> Pair:
        values = table[k][c]
        variance, degrees = tested.get((k, c), (NONE, 0))
        moderated = max(variance, (degrees0 * variance0 + degrees * variance) / max(degrees0 + degrees, 1))
        if not moderated > 0:
            moderated = NONE
        return Pair(
            n=len(values),
            mean=statistics.fmean(values) if values else NONE,
            variance=moderated,
            degrees=NONE if math.isnan(moderated) else degrees0 + degrees,
        )

    return [[pair(k, c) for c in range(len(rivals))] for k in range(len(scores))]


def smallest_p(scores: Scores, rivals: list[int], eligible: list[bool]) -> list[float]:
    """For each recipe the error probability at which it leaves the set, NaN without a test."""
    pairs = compare(scores, rivals)
    result = []
    for k in range(len(scores)):
        comparisons = max(sum(may for i, may in enumerate(eligible) if i != k), 1)
        p = [pairs[k][c].above for c, rival in enumerate(rivals) if rival != k and eligible[rival]]
        p = [value for value in p if not math.isnan(value)]
        result.append(min(1.0, comparisons * min(p)) if p else NONE)
    return result


def behind_at_most(scores: Scores, rivals: list[int], eligible: list[bool], level: float) -> list[float]:
    """For each recipe the bound of its distance to the best, NaN where a rival that counts has no test with it."""
    pairs = compare(scores, rivals)
    result = []
    for k in range(len(scores)):
        comparisons = max(sum(may for i, may in enumerate(eligible) if i != k), 1)
        against = [pairs[k][c] for c, rival in enumerate(rivals) if rival != k and eligible[rival]]
        share = 1 - (1 - level) / comparisons
        bounds = [pair.quantile(share) - pair.mean for pair in against]
        known = bool(bounds) and not any(math.isnan(bound) for bound in bounds)
        result.append(max(0.0, *bounds) if known else NONE)
    return result
