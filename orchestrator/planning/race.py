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
        standing = _Standing(race, equivalence, [by_recipe[label] for label in labels], cursors, failed)
        standing.decide()
        for recipe_trials, count in zip(standing.recipes, standing.admitted, strict=True):
            admitted |= {trial.id for trial in recipe_trials[:count]}
        ahead += standing.ahead()
        left |= standing.left
        inside += [label for label in labels if label not in standing.left]
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


class _Standing:
    """The looks of one group of recipes, one after the other."""

    def __init__(
        self,
        race: Race,
        equivalence: float | None,
        recipes: Sequence[Sequence[Trial]],
        cursors: Mapping[str, ChainCursor],
        failed: Collection[str],
    ) -> None:
        self._race, self._equivalence, self.recipes = race, equivalence, recipes
        self._cursors, self._failed = cursors, set(failed)
        monitor = recipes[0][0].recipe.settings.monitor
        sign = 1 if callbacks.direction(monitor) == "max" else -1
        self._scores = np.array([[_score(cursors[t.id], monitor, sign) for t in seeds] for seeds in recipes])
        self._finished = np.array([[cursors[t.id].ending is not None for t in seeds] for seeds in recipes])
        self.labels = [seeds[0].recipe.label for seeds in recipes]
        self.admitted = [race.first] * len(recipes)
        self.left: dict[str, Leaving] = {}
        self.ended = ""
        self.seeds = 0
        self._alive = list(range(len(recipes)))

    def decide(self) -> None:
        """Look after `first` seeds, then after each further one, as far as all recipes that are in have them."""
        error = error_of_a_look(self._race.confidence, self._race.first, self._race.most)
        for n in range(self._race.first, self._race.most + 1):
            self._drop_failed(n)
            for recipe in self._alive:
                self.admitted[recipe] = n
            if not all(self._finished[recipe, :n].all() for recipe in self._alive):
                return
            self.seeds = n
            self._look(n, error)
            if self.ended:
                return

    def _drop_failed(self, n: int) -> None:
        for recipe in [*self._alive]:
            if any(t.id in self._failed for t in self.recipes[recipe][:n]):
                self.left[self.labels[recipe]] = Leaving(n, FAILED)
                self._alive.remove(recipe)

    def _look(self, n: int, error: float) -> None:
        for recipe in [*self._alive]:
            if np.isnan(self._scores[recipe, :n]).all():
                self.left[self.labels[recipe]] = Leaving(n, DIVERGED)
                self._alive.remove(recipe)
        scores = self._scores[self._alive, :n]
        result = look(scores, ~np.isnan(scores).any(axis=1), max(len(self.recipes) - 1, 1), error)
        for place, recipe in enumerate([*self._alive]):
            if result.out[place]:
                better = self.labels[self._alive[result.by[place]]]
                self.left[self.labels[recipe]] = Leaving(n, BEHIND, better)
        inside = [place for place in range(len(self._alive)) if not result.out[place]]
        if len(inside) <= 1:
            self.ended = ONE_LEFT
        elif self._equivalence is not None and (result.behind_at_most[inside] <= self._equivalence).all():
            self.ended = EQUIVALENT
        elif n == self._race.most:
            self.ended = MOST
        self._alive = [self._alive[place] for place in inside]

    def ahead(self) -> list[tuple[float, str]]:
        """The next seed of each recipe that is in, where its seeds so far are under way, with its mean score."""
        result = []
        for recipe in self._alive if not self.ended else ():
            n = self.admitted[recipe]
            if n < len(self.recipes[recipe]):
                known = self._scores[recipe, :n][self._finished[recipe, :n]]
                mean = float(np.nanmean(known)) if np.isfinite(known).any() else -math.inf
                result.append((mean, self.recipes[recipe][n].id))
        return result


def _score(cursor: ChainCursor, monitor: str, sign: int) -> float:
    """The final of an ended trial where more is better; NaN for one that goes on, and for one that diverged."""
    if cursor.ending not in ("completed", "stopped"):
        return math.nan
    value = sign * float(cursor.history[-1][monitor])
    return value if math.isfinite(value) else math.nan
