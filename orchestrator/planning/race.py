"""A race: which trials of which recipes are to run, decided from the finals of the trials so far.

A decision is a pure function of the records by seed number. It does not depend on which trial finished first, so a
race that was killed goes on to the same decisions, and one that is over trains nothing. Recipes are compared on
finals alone, never in the middle of a schedule: rankings flip when the rate decays.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from experiments import callbacks
from orchestrator.planning.epoch_chain import ChainCursor
from orchestrator.spec.race import Race
from orchestrator.spec.trials import Trial
from orchestrator.statistics.descriptive import Bools, Floats
from orchestrator.statistics.elimination import error_of_a_look, look

ONE_LEFT, EQUIVALENT, MOST = "one recipe is left", "all that are left are equivalent", "all seeds are used"
BEHIND, DIVERGED, FAILED = "behind", "every seed diverged", "a trial failed"


@dataclass(frozen=True)
class Leaving:
    """A recipe that left: after how many seeds, why, and which recipe is better ("" where none is named)."""

    seeds: int
    reason: str
    better: str = ""


@dataclass(frozen=True, kw_only=True)
class RaceState:
    """Where a race stands.

    admitted: the ids of the trials that the decisions so far ask for. ahead: the next trial of each recipe that is
    in, in the order in which they may run before they are asked for. inside: the labels of the recipes that may
    still be the best; left: how each other one left, by label. seeds: the number of seeds after which the last
    decision was made, 0 before the first. ended: why the race is over, by group of recipes that are compared (""
    for the one group); empty while it goes on.
    """

    admitted: frozenset[str]
    ahead: tuple[str, ...]
    inside: tuple[str, ...]
    left: Mapping[str, Leaving]
    seeds: int
    ended: Mapping[str, str]
    groups: int

    @property
    def over(self) -> bool:
        """Whether no trial will be asked for any more."""
        return len(self.ended) == self.groups


def state(
    race: Race,
    equivalence: float | None,
    trials: Sequence[Trial],
    cursors: Mapping[str, ChainCursor],
    failed: Collection[str] = (),
) -> RaceState:
    """The state of a race of `trials`, all seeds of each recipe in their order, as far as `cursors` are known.

    `failed` are the ids of trials that failed: their recipes get no more seeds and are compared with none. Recipes
    of different training lengths, where `epochs` is an axis of the grid, run races of their own.
    """
    by_recipe: dict[str, list[Trial]] = {}
    for trial in trials:
        by_recipe.setdefault(trial.recipe.label, []).append(trial)
    groups: dict[str, list[str]] = {}
    for label, seeds in by_recipe.items():
        groups.setdefault(seeds[0].recipe.axes.get("epochs", ""), []).append(label)
    admitted: set[str] = set()
    ahead: list[tuple[float, str]] = []
    left: dict[str, Leaving] = {}
    ended: dict[str, str] = {}
    inside: list[str] = []
    looks = []
    for group, labels in groups.items():
        recipes = [by_recipe[label] for label in labels]
        standing = Standing(race, equivalence, _finals(recipes, cursors, failed))
        standing.decide()
        for seeds, count in zip(recipes, standing.admitted, strict=True):
            admitted |= {trial.id for trial in seeds[:count]}
        ahead += [(mean, recipes[recipe][n].id) for recipe, n, mean in standing.ahead()]
        for recipe, departure in standing.left.items():
            better = "" if departure.better is None else labels[departure.better]
            left[labels[recipe]] = Leaving(departure.seeds, departure.reason, better)
        inside += [label for recipe, label in enumerate(labels) if recipe not in standing.left]
        looks.append(standing.seeds)
        if standing.ended:
            ended[group] = standing.ended
    return RaceState(
        admitted=frozenset(admitted),
        ahead=tuple(trial_id for _, trial_id in sorted(ahead, key=lambda item: -item[0])),
        inside=tuple(inside),
        left=left,
        seeds=min(looks, default=0),
        ended=ended,
        groups=len(groups),
    )


@dataclass(frozen=True, kw_only=True)
class Finals:
    """The finals of a group of recipes; arrays are [K recipes, S seeds].

    scores: float64, more is better, NaN where a trial diverged or has not ended.
    finished, failed: bool, the trials that have ended, and those that failed.
    """

    scores: Floats
    finished: Bools
    failed: Bools


@dataclass(frozen=True)
class Departure:
    """A recipe that left, after how many seeds and why, and the number of a better one, if one is named."""

    seeds: int
    reason: str
    better: int | None = None


class Standing:
    """The looks of one group of recipes, one after the other. Recipes are numbers here.

    admitted: how many seeds each recipe may use. left: how each recipe left that did. seeds: after how many seeds
    the last look was made, 0 before the first. ended: why the race is over; empty while it goes on.
    """

    def __init__(self, race: Race, equivalence: float | None, finals: Finals) -> None:
        """Nothing is decided before `decide`."""
        self._race, self._equivalence, self._finals = race, equivalence, finals
        self.admitted = [race.first] * len(finals.scores)
        self.left: dict[int, Departure] = {}
        self.ended = ""
        self.seeds = 0
        self._alive = list(range(len(finals.scores)))

    def decide(self) -> None:
        """Look after `first` seeds, then after each further one, as far as all recipes that are in have them."""
        error = error_of_a_look(self._race.confidence, self._race.first, self._race.most)
        for n in range(self._race.first, self._race.most + 1):
            for recipe in [*self._alive]:
                # A trial that failed stays asked for: the next run tries it again.
                self.admitted[recipe] = n
                if self._finals.failed[recipe, :n].any():
                    self._leave(recipe, Departure(n, FAILED))
            if not self._finals.finished[self._alive, :n].all():
                return
            self.seeds = n
            self._look(n, error)
            if self.ended:
                return

    def _leave(self, recipe: int, departure: Departure) -> None:
        self.left[recipe] = departure
        self._alive.remove(recipe)

    def _look(self, n: int, error: float) -> None:
        for recipe in [*self._alive]:
            if np.isnan(self._finals.scores[recipe, :n]).all():
                self._leave(recipe, Departure(n, DIVERGED))
        compared = [*self._alive]
        scores = self._finals.scores[compared, :n]
        comparisons = max(len(self._finals.scores) - 1, 1)
        reliable = np.asarray(~np.isnan(scores).any(axis=1), np.bool_)
        result = look(scores, reliable, comparisons, error)
        for place in np.flatnonzero(result.out):
            self._leave(compared[place], Departure(n, BEHIND, compared[result.by[place]]))
        if len(self._alive) <= 1:
            self.ended = ONE_LEFT
        elif self._equivalence is not None and (result.behind_at_most[~result.out] <= self._equivalence).all():
            self.ended = EQUIVALENT
        elif n == self._race.most:
            self.ended = MOST

    def ahead(self) -> list[tuple[int, int, float]]:
        """The next seed of each recipe that is in: recipe, number of the seed, mean score of its seeds so far."""
        result = []
        for recipe in self._alive if not self.ended else ():
            n = self.admitted[recipe]
            if n < self._finals.scores.shape[1]:
                scores = self._finals.scores[recipe, :n]
                mean = float(np.nanmean(scores)) if np.isfinite(scores).any() else -math.inf
                result.append((recipe, n, mean))
        return result


def _finals(
    recipes: Sequence[Sequence[Trial]], cursors: Mapping[str, ChainCursor], failed: Collection[str]
) -> Finals:
    monitor = recipes[0][0].recipe.settings.monitor
    sign = 1 if callbacks.direction(monitor) == "max" else -1
    return Finals(
        scores=np.array([[_score(cursors[t.id], monitor, sign) for t in seeds] for seeds in recipes]),
        finished=np.array([[cursors[t.id].ending is not None for t in seeds] for seeds in recipes]),
        failed=np.array([[t.id in failed for t in seeds] for seeds in recipes]),
    )


def _score(cursor: ChainCursor, monitor: str, sign: int) -> float:
    """The final of an ended trial where more is better; NaN for one that goes on, and for one that diverged."""
    if cursor.ending not in ("completed", "stopped"):
        return math.nan
    value = sign * float(cursor.history[-1][monitor])
    return value if math.isfinite(value) else math.nan
