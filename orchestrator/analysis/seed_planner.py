"""The price of being surer: how many more seeds would settle what is open, and what they would cost."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from orchestrator.analysis.comparison import Column, recipe_columns, table
from orchestrator.analysis.observations import TrialArrays
from orchestrator.analysis.ranking import Ranking
from orchestrator.statistics.power import needed_seeds

FIRST_SEEDS = 3
"""The seeds of each recipe from which a spread is estimated, where recipes have one."""

Goal = Literal["tell apart", "show as good", "see the spread"]


@dataclass(frozen=True, kw_only=True)
class SeedPlan:
    """What it takes to reach a goal.

    recipes: the recipes that need more seeds.
    more: how many more seeds each of them needs; infinite where MOST_SEEDS are not enough.
    trials, epochs: of all those seeds.
    seconds: with as many trials at a time as the sweep had; `cores` and `gpus` are what they held together.
    """

    goal: Goal
    recipes: tuple[int, ...]
    more: float
    trials: float
    epochs: float
    seconds: float
    cores: float
    gpus: float


def seed_plans(arrays: TrialArrays, ranking: Ranking, margin: float | None, level: float) -> tuple[SeedPlan, ...]:
    """For each recipe that may be the best beside the winner, in their order, what would settle it.

    Where a recipe is behind by less than the `margin`, the cheaper goal counts: to tell it apart, or to show that
    it is as good. Where no recipe has a second seed the one plan is to see the spread.
    """
    claim, winner = ranking.claim, ranking.winner
    if winner is None:
        return ()
    members = [int(r) for r in ranking.order if claim.in_set[r] and r != winner]
    if not np.isfinite(claim.p).any():
        most = int(np.isfinite(ranking.values[[winner, *members]]).sum(axis=1).max())
        if not members or most != 1:
            return ()
        return (_plan(arrays, "see the spread", [winner, *members], float(FIRST_SEEDS - most)),)
    pairs = claim.pairs
    column = int(np.flatnonzero(pairs.rivals == winner)[0])
    comparisons = max(int(np.isfinite(claim.p).sum()) - 1, 1)
    result = []
    for member in members:
        variance = pairs.variance[member, column]
        if not np.isfinite(variance):
            continue
        gap, now = float(-pairs.mean[member, column]), int(pairs.n[member, column])
        goals: dict[Goal, float] = {"tell apart": abs(gap)}
        if margin is not None and not claim.behind_at_most[member] <= margin:
            goals["show as good"] = margin - gap
        needed = {
            goal: needed_seeds(effect, float(variance), pairs.borrowed, comparisons, level)
            for goal, effect in goals.items()
        }
        goal = min(needed, key=lambda name: needed[name])
        result.append(_plan(arrays, goal, [winner, member], max(needed[goal] - now, 1.0)))
    return tuple(result)


def _plan(arrays: TrialArrays, goal: Goal, recipes: list[int], more: float) -> SeedPlan:
    epochs = seconds = cores = gpus = 0.0
    for recipe in recipes:
        trials = arrays.results[arrays.recipe[arrays.results] == recipe]
        rows = arrays.rows(trials)
        epochs += len(rows) / len(trials)
        seconds += float(arrays.seconds[rows].sum()) / len(trials)
        cores, gpus = max(cores, arrays.trials[trials[0]].cpus), max(gpus, arrays.trials[trials[0]].gpus)
    at_once = min(float(arrays.at_once), more * len(recipes))
    return SeedPlan(
        goal=goal,
        recipes=tuple(recipes),
        more=more,
        trials=more * len(recipes),
        epochs=more * epochs,
        seconds=more * seconds / at_once,
        cores=cores * at_once,
        gpus=gpus * at_once,
    )


def seed_plan_table(arrays: TrialArrays, plans: tuple[SeedPlan, ...]) -> pa.Table:
    """One row per plan; the columns of the recipe name the one that would be told from the winner."""
    columns = {"goal": Column(pa.array([p.goal for p in plans], pa.string()))}
    columns |= recipe_columns([arrays.recipes[p.recipes[-1]] for p in plans])
    columns |= {"recipes": Column(np.array([len(p.recipes) for p in plans], np.int64), "recipes that need them")}
    for name, label, unit in (
        ("more", "more seeds of each", "seeds"),
        ("trials", "trials", ""),
        ("epochs", "epochs at most", "epochs"),
        ("seconds", "about so long", "s"),
        ("cores", "on so many cores", ""),
        ("gpus", "on so many GPUs", ""),
    ):
        columns[name] = Column(np.array([getattr(p, name) for p in plans], np.float64), label, unit)
    return table("The price of certainty", columns)
