"""Recipes whose true means are known: scores drawn around them, and what `claim` says about them.

Everything is in seed deviations: the standard deviation of one score around its recipe's true mean and the effect
of its seed, except where recipes differ in spread by design.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import chain
from multiprocessing import get_context

import numpy as np
from scipy.special import stdtr, stdtrit

from orchestrator.statistics.claim import claim
from orchestrator.statistics.descriptive import LEVEL, Bools, Floats

NORMAL, HEAVY, UNEQUAL, TIES, DIVERGING = "normal", "heavy tails", "unequal", "ties", "diverging"
WIDE = "wide best"
SPREADS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""The standard deviation of the true means; 0 is the least favourable to a set that shall contain the best."""
SEED_EFFECTS = (0.0, 1.0, 5.0)
"""The standard deviation of what all recipes have in common in a seed."""
DIVERGES = 0.05
WIDTH = 4.0
"""How many times as much as the others the best recipe of `WIDE` spreads."""
IMAGES, ACCURACY = 500, 0.9
"""Accuracies of `TIES` are counts of so many images; one seed deviation is one image."""


@dataclass(frozen=True)
class Row:
    """A kind of recipes, how many there are, and their seeds."""

    kind: str
    recipes: int
    seeds: int

    def __str__(self) -> str:
        return f"{self.kind:<12} {self.recipes:>3} recipes {self.seeds:>3} seeds"


@dataclass(frozen=True)
class Drawn:
    """One simulated sweep. Recipe 0 is the best or one of the equally good.

    scores: float64 [K recipes, S seeds], NaN for a diverged seed. means: the true means, float64 [K].
    spread: the standard deviation that the true means were drawn with. common: by how much these seeds raise all
    recipes, on average.
    """

    scores: Floats
    means: Floats
    spread: float
    common: float

    @property
    def reliable(self) -> Bools:
        """The recipes without a diverged seed."""
        return np.isfinite(self.scores).all(axis=1)

    @property
    def compared(self) -> Bools:
        """The recipes with a result."""
        return np.isfinite(self.scores).any(axis=1)


def draw(row: Row, number: int) -> Drawn:
    """Simulation `number` of a row: always the same, in whatever process."""
    random = np.random.default_rng([*row.kind.encode(), row.recipes, row.seeds, number])
    shape, spread = (row.recipes, row.seeds), SPREADS[number % len(SPREADS)]
    effects = SEED_EFFECTS[number // len(SPREADS) % len(SEED_EFFECTS)] * random.standard_normal(row.seeds)
    common = float(effects.mean())
    means = np.sort(spread * random.standard_normal(row.recipes))[::-1]
    noise = random.standard_normal(shape)
    if row.kind == HEAVY:
        noise = random.standard_t(3, shape) / math.sqrt(3)
    elif row.kind == UNEQUAL:
        noise *= np.exp(random.uniform(math.log(0.5), math.log(4), row.recipes))[:, None]
    elif row.kind == WIDE:
        noise[0] *= WIDTH
    scores = means[:, None] + effects + noise
    if row.kind == TIES:
        center = ACCURACY * IMAGES
        return Drawn(np.round(center + scores) / IMAGES, (center + means) / IMAGES, spread, common / IMAGES)
    if row.kind == DIVERGING:
        scores[random.random(shape) < DIVERGES] = np.nan
    return Drawn(scores, means, spread, common)


@dataclass(frozen=True)
class Measured:
    """What one simulation shows; NaN where it shows nothing.

    contained: whether the best is in the set. size: of the set. size_by_own_spread: of the set that a test of each
    pair by its own spread gives. covered, naive_covered: whether the winner's true mean is in the interval,
    corrected and not. bias, naive_bias: of the winner's value, corrected and not, in seed deviations.
    probability: the winner's, of being the best. best: whether it is the best of those without a diverged seed.
    """

    spread: float
    contained: float
    size: float
    size_by_own_spread: float
    covered: float
    naive_covered: float
    bias: float
    naive_bias: float
    probability: float
    best: float


def measure(row: Row, number: int) -> Measured:
    """Claim something about one simulated sweep, and compare it with the truth."""
    drawn = draw(row, number)
    scores, means, compared, reliable = drawn.scores, drawn.means, drawn.compared, drawn.reliable
    n = np.isfinite(scores).sum(axis=1)
    observed = np.where(n > 0, np.nan_to_num(scores).sum(axis=1) / np.maximum(n, 1), -np.inf)
    order = np.lexsort((-observed, ~reliable))
    result = claim(scores, order, compared, reliable, LEVEL)
    own = in_set_by_own_spread(scores, compared, reliable)
    winner, unit = int(order[0]), 1 / IMAGES if row.kind == TIES else 1.0
    covered = naive_covered = bias = naive_bias = probability = best = math.nan
    if reliable[winner]:
        probability, best = float(result.best_probability[winner]), float(winner == np.flatnonzero(reliable)[0])
        low, high = naive_interval(scores[winner])
        naive_covered = float(low <= means[winner] <= high)
        # The effect of the seeds is no bias, only noise in its measurement.
        truth = float(means[winner] + drawn.common)
        naive_bias = (float(observed[winner]) - truth) / unit
        if result.winner is not None:
            covered = float(result.winner.low <= means[winner] <= result.winner.high)
            bias = (result.winner.value - truth) / unit
    return Measured(
        spread=drawn.spread,
        contained=float(result.in_set[np.flatnonzero(compared)[0]]),
        size=float(result.in_set.sum()),
        size_by_own_spread=float(own.sum()),
        covered=covered,
        naive_covered=naive_covered,
        bias=bias,
        naive_bias=naive_bias,
        probability=probability,
        best=best,
    )


def naive_interval(values: Floats) -> tuple[float, float]:
    """Student's interval of one recipe, as if it had not been chosen."""
    half_width = stdtrit(len(values) - 1, 0.5 + LEVEL / 2) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean() - half_width), float(values.mean() + half_width)


def in_set_by_own_spread(scores: Floats, compared: Bools, reliable: Bools) -> Bools:
    """The recipes that no reliable one beats in a paired one-sided t-test, Bonferroni-corrected: bool [K]."""
    difference = scores[:, None, :] - scores[None, reliable, :]
    shared = ~np.isnan(difference)
    n = shared.sum(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(shared, difference, 0.0).sum(axis=2) / n
        squares = (np.where(shared, difference - mean[:, :, None], 0.0) ** 2).sum(axis=2)
        t = mean / np.sqrt(squares / (n - 1) / n)
        p = np.where(squares > 1e-20, stdtr(np.maximum(n - 1, 1), t), np.nan)
    comparisons = np.maximum(reliable.sum() - reliable, 1)
    return compared & ~np.any(p <= (1 - LEVEL) / comparisons[:, None], axis=1)


@dataclass(frozen=True)
class Share:
    """A share of simulations and its standard error; both NaN without any."""

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.3f}"


@dataclass(frozen=True)
class Summary:
    """The simulations of one row. An array for each field of `Measured`, one entry per simulation."""

    row: Row
    columns: dict[str, Floats]

    def mean(self, name: str, spread: float | None = None) -> float:
        """The mean over the simulations of `spread`, or over all, without those that show nothing."""
        values = self._values(name, spread)
        return float(values.mean()) if len(values) else math.nan

    def share(self, name: str, spread: float | None = None) -> Share:
        """The share of the simulations of `spread`, or of all, in which `name` is true."""
        values = self._values(name, spread)
        if not len(values):
            return Share(math.nan, math.nan)
        share = float(values.mean())
        return Share(share, math.sqrt(share * (1 - share) / len(values)))

    def _values(self, name: str, spread: float | None) -> Floats:
        values = self.columns[name]
        chosen = np.isfinite(values) & ((spread is None) | (self.columns["spread"] == spread))
        return np.asarray(values[chosen], np.float64)


def _batch(task: tuple[Row, range]) -> list[tuple[float, ...]]:
    row, numbers = task
    names = [field.name for field in fields(Measured)]
    measured = [measure(row, number) for number in numbers]
    return [tuple(getattr(one, name) for name in names) for one in measured]


def simulate(rows: Iterable[Row], simulations: int, processes: int) -> Iterator[Summary]:
    """The rows in turn, each as soon as it is complete."""
    names = [field.name for field in fields(Measured)]
    with get_context("spawn").Pool(processes) as pool:
        for row in rows:
            size = math.ceil(simulations / (4 * processes))
            parts = [range(start, min(start + size, simulations)) for start in range(0, simulations, size)]
            measured = np.array(list(chain.from_iterable(pool.imap(_batch, [(row, part) for part in parts]))))
            yield Summary(row, dict(zip(names, measured.T, strict=True)))
