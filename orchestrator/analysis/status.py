"""Where a sweep stands: the plan and the store, read as the summary and `sweep status` need it."""

import math
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from experiments import callbacks
from orchestrator.analysis.comparison import Comparison
from orchestrator.analysis.summary import RecipeLabel, TrialDescription, summarize
from orchestrator.planning.lr_range_tests import LrRangeTest
from orchestrator.planning.plan import Plan
from orchestrator.spec.trials import Recipe, Trial
from orchestrator.storage import history as records
from orchestrator.storage.store import Store

STATUSES = ("completed", "stopped", "running", "waiting", "diverged", "failed")


def trials(plan: Plan, store: Store) -> list[TrialDescription]:
    """Every planned trial with its status: how it ended, or whether it runs, waits or has failed."""
    failures = store.failures(plan.sweep.name)
    running = store.read_run(plan.sweep.name).get("running", {}) if store.held(plan.sweep.name) else {}
    return [_planned(trial, plan, failures, running) for trial in plan.trials]


def _planned(
    trial: Trial, plan: Plan, failures: Mapping[str, str], running: Mapping[str, Any]
) -> TrialDescription:
    ending = plan.cursors[trial.id].ending
    status = ending or ("running" if trial.id in running else "failed" if trial.id in failures else "waiting")
    settings = trial.recipe.settings
    return TrialDescription(
        id=trial.id,
        optimizer=trial.recipe.optimizer_label,
        schedule=trial.recipe.schedule_label,
        seed=trial.seed,
        epochs=settings.epochs,
        settings=trial.recipe.axes,
        learning_rate=math.nan if trial.id in plan.provisional else trial.recipe.peak,
        status=status,
        reason=failures.get(trial.id, "") if status == "failed" else "",
        cpus=settings.resources.cpus_per_trial,
        gpus=settings.resources.gpus_per_trial,
    )


def comparison(plan: Plan, store: Store, target: float | None = None) -> Comparison:
    """The comparison of the sweep's recipes, from its own history in the store."""
    histories, _ = store.history(plan.sweep.name)
    current = {
        trial.id: _on_chain(histories[trial.id], plan, trial) for trial in plan.trials if trial.id in histories
    }
    history = pa.concat_tables([records.HISTORY.empty_table(), *current.values()])
    left_out = sum(len(histories[trial_id]) for trial_id in current) - len(history)
    notes = [f"{trial_id}: {note}" for trial_id, note in store.notes(plan.sweep.name).items()]
    if left_out:
        notes.append(
            f"{left_out} epochs on record are of other settings or library versions than the sweep has now; "
            "they are not shown, and `sweep run` trains what is missing"
        )
    notes += [_found(test) for test in plan.tests if test.curve]
    recipes = {recipe_key(trial.recipe): trial for trial in plan.trials}
    return summarize(
        history,
        trials(plan, store),
        sweep=plan.sweep.name,
        published={key: trial.recipe.published for key, trial in recipes.items() if trial.recipe.published},
        target=target,
        monitor=plan.trials[0].recipe.settings.monitor,
        schedules={key: first_rates(plan, trial) for key, trial in recipes.items()},
        notes=notes,
    )


def _on_chain(rows: pa.Table, plan: Plan, trial: Trial) -> pa.Table:
    """The trial's rows as far as they are epochs of the settings it has now."""
    recorded = rows["epoch_key"].to_pylist()
    known = plan.cursors[trial.id].keys
    count = next((n for n, pair in enumerate(zip(recorded, known, strict=False)) if pair[0] != pair[1]), None)
    return rows.slice(0, min(len(recorded), len(known)) if count is None else count)


def recipe_key(recipe: Recipe) -> RecipeLabel:
    """The recipe as the summary names it."""
    return RecipeLabel(recipe.optimizer_label, recipe.schedule_label, tuple(sorted(recipe.axes.items())))


def _found(test: LrRangeTest) -> str:
    others = ", ".join(f"{name} {rate:.3g}" for name, rate in test.reading.suggestions.items())
    return (
        f"The learning rate of {test.label} was found by a range test of {test.ramp.steps} steps: {test.answer:g} "
        f"({test.ramp.suggestion}; the test suggests {others})"
    )


def first_rates(plan: Plan, trial: Trial) -> list[float]:
    """The learning rate of the first step of each planned epoch, as planned; NaN before its range test."""
    if trial.id in plan.provisional:
        return [math.nan] * plan.cursors[trial.id].chain.epochs
    return [float(rate) for rate in plan.cursors[trial.id].chain.table[:, 0]]


def first_momenta(plan: Plan, trial: Trial) -> dict[str, list[float]]:
    """The `momentum` of the first step of each planned epoch; nothing where the schedule leaves it alone."""
    momentum = plan.cursors[trial.id].chain.momentum
    return {} if momentum is None else {"momentum": [float(value) for value in momentum[:, 0]]}


def status(plan: Plan, store: Store) -> dict[str, Any]:
    """`sweep status --json`: trials by status (the stopped are among the completed), epochs, best, time left.

    `seconds_left` is None unless a run has trained an epoch and goes on.
    """
    counts = Counter(trial.status for trial in trials(plan, store))
    counts["completed"] += counts["stopped"]
    epochs = plan.epochs
    return {
        "sweep": plan.sweep.name,
        "trials": {"total": len(plan.trials), **{name: counts[name] for name in STATUSES}},
        "epochs": {"total": epochs.total, "done": epochs.known},
        "best": _best(plan),
        "seconds_left": _seconds_left(plan, store) if counts["running"] else None,
    }


def _best(plan: Plan) -> dict[str, Any] | None:
    """The best epoch of all so far, by what the sweep monitors."""
    monitor = plan.trials[0].recipe.settings.monitor
    sign = 1 if callbacks.direction(monitor) == "max" else -1
    bests = []
    for number, trial in enumerate(plan.trials):
        history = plan.cursors[trial.id].history
        epoch = callbacks.best_epoch(history, monitor)
        if epoch is not None:
            bests.append((sign * history[epoch][monitor], -number, epoch))
    if not bests:
        return None
    score, number, epoch = max(bests)
    return {"trial": plan.trials[-number].id, "epoch": epoch, monitor: sign * score}


def _seconds_left(plan: Plan, store: Store) -> float | None:
    """How long the run that goes on will still take, at the pace it has had since its first epoch."""
    since = store.read_run(plan.sweep.name).get("since")
    if since is None or not plan.history:
        return None
    rows = pa.concat_tables(plan.history.values())
    began = pa.scalar(datetime.fromtimestamp(since, UTC), rows.schema.field("started_at").type)
    mine = pc.and_(pc.greater_equal(rows["started_at"], began), pc.invert(rows["reused"]))
    times = rows["started_at"].filter(mine)
    if not len(times):
        return None
    first: datetime = pc.min(times).as_py()
    pace = (datetime.now(UTC) - first).total_seconds() / len(times)
    return (plan.epochs.new + plan.epochs.recomputed) * pace
