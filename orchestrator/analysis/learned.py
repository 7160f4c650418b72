"""Which recipes learned anything, and whose learning rate was not searched far enough to judge them."""

from dataclasses import dataclass

import numpy as np

from orchestrator.analysis.observations import RecipeLabel, TrialArrays
from orchestrator.statistics.descriptive import Bools, Floats, leveled

LEVEL = 0.95
RATE_AXES = ("learning_rate", "peak")


@dataclass(frozen=True)
class GridEdge:
    """A recipe that is best among those that differ in the learning rate alone, at the `end` of the rates
    tried.
    """

    recipe: int
    end: str
    learning_rate: float


def chance_level(majority: float, images: int) -> float:
    """The largest accuracy on `images` that answering with the majority class explains, at 95 % (binomial).

    >>> chance_level(0.5, 500)
    0.536
    """
    from scipy.special import bdtrik

    return float(np.ceil(bdtrik(LEVEL, images, majority))) / images


def learned(arrays: TrialArrays, monitor: str, sign: int) -> Bools:
    """Whether each recipe learned: bool [recipes]; true for one without a result or with diverged seeds alone.

    A recipe did not learn where no seed did. A seed did not learn where its last validation accuracy is no better
    than the majority class explains (if that is known), or where its last epoch is no better than its first one,
    in the monitored metric and in the training loss.
    """
    results = arrays.results
    if not len(results):
        return np.ones(len(arrays.recipes), np.bool_)
    first, last = arrays.first[results], arrays.last_rows(results)
    trials = [arrays.trials[trial] for trial in results]
    chance = np.array([np.nan if t.majority is None else chance_level(t.majority, t.validation) for t in trials])
    no_better_than_chance = arrays.metrics["val_accuracy"][last] <= chance
    score, loss = sign * arrays.metrics[monitor], arrays.metrics["loss"]
    no_better_than_first = (last > first) & (score[last] <= score[first]) & (loss[last] >= loss[first])
    idle = no_better_than_chance | no_better_than_first
    diverged = np.array([t.status == "diverged" for t in trials])
    groups, count = arrays.recipe[results], len(arrays.recipes)
    seeds, idle_seeds, diverged_seeds = (
        np.bincount(groups, x, count) for x in (np.ones(len(results)), idle, diverged)
    )
    return np.asarray((seeds == 0) | (idle_seeds < seeds) | (diverged_seeds == seeds), np.bool_)


def grid_edges(arrays: TrialArrays, mean_score: Floats) -> tuple[GridEdge, ...]:
    """The recipes whose learning rate is the smallest or largest of several, and the best of them.

    Recipes are compared that differ in the peak learning rate alone. `mean_score` float64 [recipes], NaN without a
    result. A best rate in the interior, tied or not, is no edge.
    """
    score = leveled(mean_score)
    families: dict[RecipeLabel, dict[float, int]] = {}
    for trial, recipe in zip(arrays.trials, arrays.recipe, strict=True):
        families.setdefault(family(trial.recipe), {})[float(trial.learning_rate)] = int(recipe)
    edges = []
    for by_rate in families.values():
        rates = [rate for rate in sorted(by_rate) if not np.isnan(score[by_rate[rate]])]
        if len(rates) < 2:
            continue
        best = max(score[by_rate[rate]] for rate in rates)
        places = [n for n, rate in enumerate(rates) if score[by_rate[rate]] == best]
        if len(places) == 1 and places[0] in (0, len(rates) - 1):
            rate = rates[places[0]]
            edges.append(GridEdge(by_rate[rate], "largest" if places[0] else "smallest", rate))
    return tuple(edges)


def family(recipe: RecipeLabel) -> RecipeLabel:
    """The label that recipes share which differ in the peak learning rate alone."""
    settings = tuple((k, v) for k, v in recipe.settings if k.rsplit(".", 1)[-1] not in RATE_AXES)
    return RecipeLabel(recipe.optimizer, recipe.schedule, settings)
