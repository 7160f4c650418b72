"""Records -> comparison: every figure a report shows is computed here, and only here."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from experiments import callbacks, settings
from orchestrator.analysis import cost, learning_curves, ranking, sentences, stages, time_to_target
from orchestrator.analysis.comparison import Comparison, bounds
from orchestrator.analysis.observations import METRICS, Planned, Recipe, gather
from orchestrator.analysis.statistics import LEVEL

__all__ = ["Comparison", "Planned", "Recipe", "summarize"]


def summarize(
    history: pa.Table,
    trials: Sequence[Planned],
    *,
    sweep: str = "",
    published: Mapping[Any, Mapping[str, float]] | None = None,
    target: float | None = None,
    monitor: str = "val_accuracy",
    schedules: Mapping[Any, Sequence[float]] | None = None,
    notes: Sequence[str] = (),
) -> Comparison:
    """Compare the recipes of `trials` by their rows in `history` (the history columns, one row a trial and
    epoch).

    `published` and `schedules` are by `Recipe` (or an equal tuple): figures by metric, and the learning rate
    at the first step of each epoch. `target` is a value of `monitor`; the median of the finals where it is
    None. `sweep` is the name to show, by default the one in the rows. `notes` are appended to the
    comparison's own.

    Rows of trials that are not planned are left out. The rules for diverged, failed and unfinished trials,
    ties and unequal numbers of seeds are with `ranking.stand`, and in the notes of the comparison.

    Raises InputError for an unknown metric and for a target that it cannot take; ValueError for a trial planned
    twice, an epoch recorded twice and an epoch missing in between.
    """
    if monitor not in METRICS:
        raise settings.unknown("monitor", "metric", monitor, METRICS)
    low, high = bounds(monitor)
    if target is not None and not (low <= target <= high and math.isfinite(target)):
        expected = "between 0 and 1" if math.isfinite(high) else "of at least 0"
        raise settings.InputError(f"target: expected a {METRICS[monitor]} {expected}, got {target:g}")
    direction = callbacks.direction(monitor)
    sign = 1 if direction == "max" else -1
    runs = gather(history, trials)
    standing = ranking.stand(runs, monitor, sign, LEVEL)
    goal = time_to_target.middle(runs, monitor) if target is None else target
    at_stage, overtakes = stages.stages(runs, standing, monitor, sign, LEVEL)
    time_to, profile = time_to_target.targets(runs, standing, monitor, sign, goal)
    by_optimizer, totals = cost.cost(runs)
    return Comparison(
        sweep=sweep or (history.column("sweep")[0].as_py() if history.num_rows else ""),
        monitor=monitor,
        direction=direction,
        level=LEVEL,
        target=goal,
        target_given=target is not None,
        answer=sentences.answer(runs, standing, monitor),
        notes=sentences.notes(runs, standing, monitor, notes),
        ranking=ranking.ranking(runs, standing, monitor),
        matrix=ranking.matrix(runs, standing, monitor, sign),
        stages=at_stage,
        overtakes=overtakes,
        targets=time_to,
        profile=profile,
        sensitivity=time_to_target.sensitivity(runs, monitor, LEVEL),
        published=time_to_target.published(runs, standing, published or {}),
        cost=by_optimizer,
        totals=totals,
        troubles=cost.troubles(runs),
        curves=learning_curves.curves(runs),
        schedules=learning_curves.schedules(runs, schedules),
    )
