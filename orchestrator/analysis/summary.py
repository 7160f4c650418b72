"""The comparison of a sweep's recipes from its history: all computation behind a report."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from experiments import callbacks, settings
from orchestrator.analysis import (
    cost,
    held_out,
    horizons,
    learning_curves,
    ranking,
    robust_means,
    seed_planner,
    seed_ranks,
    sentences,
    stages,
    time_to_target,
)
from orchestrator.analysis import notes as explanations
from orchestrator.analysis.comparison import Comparison, bounds
from orchestrator.analysis.observations import METRICS, RecipeLabel, TrialDescription, gather
from orchestrator.analysis.race import RaceResult, race_table
from orchestrator.statistics.descriptive import LEVEL

__all__ = ["Comparison", "RecipeLabel", "TrialDescription", "summarize"]


def summarize(
    history: pa.Table,
    trials: Sequence[TrialDescription],
    *,
    sweep: str = "",
    published: Mapping[Any, Mapping[str, float]] | None = None,
    target: float | None = None,
    monitor: str = "val_accuracy",
    schedules: Mapping[Any, Sequence[float]] | None = None,
    notes: Sequence[str] = (),
    equivalence: float | None = None,
    race: RaceResult | None = None,
) -> Comparison:
    """Compare the recipes of `trials` by their rows in `history`, a table of the history columns.

    sweep: the name in the comparison, by default the name in the rows.
    published: published figures by metric, by RecipeLabel or an equal tuple.
    target: a value of `monitor`, by default the median of all finals.
    schedules: the learning rate at the first step of each epoch, by RecipeLabel or an equal tuple.
    notes: sentences that follow the comparison's notes.
    equivalence: the difference of `monitor` that does not matter; None for none.
    race: where the race of the recipes stands; None without a race. Who is in it decides who may be the best.

    Rows of trials that are not planned are left out. `ranking.rank_recipes` and the notes of the comparison have
    the rules for diverged, failed and unfinished trials, ties and unequal numbers of seeds.

    Raises InputError for an unknown metric and for a target that is no value of it. Raises ValueError for a trial
    that is planned twice, an epoch that is recorded twice and a missing epoch.
    """
    if monitor not in METRICS:
        raise settings.unknown("monitor", "metric", monitor, METRICS)
    low, high = bounds(monitor)
    if target is not None and not (low <= target <= high and math.isfinite(target)):
        expected = "between 0 and 1" if math.isfinite(high) else "of at least 0"
        raise settings.InputError(f"target: expected a {METRICS[monitor]} {expected}, got {target:g}")
    direction = callbacks.direction(monitor)
    sign = 1 if direction == "max" else -1
    arrays = gather(history, trials)
    left = race.left if race else None
    order = ranking.rank_recipes(arrays, monitor, sign, LEVEL, equivalence, left)
    lengths = horizons.horizons(arrays, monitor, sign, LEVEL, equivalence, left)
    plans = seed_planner.seed_plans(arrays, order, equivalence, LEVEL)
    on_test = held_out.held_out_table(arrays, order, monitor, sign, LEVEL)
    goal = time_to_target.median_final(arrays, order, monitor) if target is None else target
    stage_table, overtakes = stages.stage_tables(arrays, order, monitor, sign, LEVEL)
    targets, profile = time_to_target.target_tables(arrays, order, monitor, sign, goal)
    cost_table, totals = cost.cost_tables(arrays)
    return Comparison(
        sweep=sweep or (history.column("sweep")[0].as_py() if history.num_rows else ""),
        monitor=monitor,
        direction=direction,
        level=LEVEL,
        target=goal,
        target_given=target is not None,
        answer=sentences.answer(arrays, order, monitor, sign, equivalence, on_test, plans, race, lengths),
        notes=explanations.notes(arrays, order, monitor, on_test, notes),
        equivalence=equivalence,
        winner_value=ranking.winner_value(order, monitor, sign),
        ranking=ranking.ranking_table(arrays, order, monitor),
        horizons=horizons.horizon_table(lengths, monitor),
        wins=ranking.wins_table(arrays, order),
        held_out=on_test,
        robust_means=robust_means.robust_mean_table(arrays, order, monitor, LEVEL),
        seed_ranks=seed_ranks.seed_rank_table(arrays, order, sign, LEVEL),
        certainty=seed_planner.seed_plan_table(arrays, plans),
        race=race_table(arrays, race),
        matrix=ranking.matrix_table(arrays, order, monitor, sign),
        stages=stage_table,
        overtakes=overtakes,
        targets=targets,
        profile=profile,
        sensitivity=time_to_target.sensitivity_table(arrays, monitor, LEVEL),
        published=time_to_target.published_table(arrays, order, published or {}),
        cost=cost_table,
        totals=totals,
        troubles=cost.trouble_table(arrays),
        curves=learning_curves.learning_curve_table(arrays),
        schedules=learning_curves.schedule_table(arrays, schedules),
    )
