"""The status of a sweep and of its trials, and its comparison, from a plan and the state of the sweep."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from experiments import callbacks
from orchestrator.analysis.comparison import Comparison
from orchestrator.analysis.race import Leaving, RaceResult
from orchestrator.analysis.summary import RecipeLabel, TrialDescription, summarize
from orchestrator.planning.lr_range_tests import LrRangeTest
from orchestrator.planning.plan import Plan
from orchestrator.spec.trials import Recipe, Trial
from orchestrator.storage.history import HISTORY
from orchestrator.storage.sweep_state import SweepState

STATUSES = ("completed", "stopped", "running", "waiting", "diverged", "failed")


def trials(plan: Plan, state: SweepState) -> list[TrialDescription]:
    """Every planned trial with its status: its ending, or else running, failed or waiting."""
    return [_description(trial, plan, state) for trial in plan.trials]


def _description(trial: Trial, plan: Plan, state: SweepState) -> TrialDescription:
    status = plan.cursors[trial.id].ending
    if status is None:
        status = "running" if trial.id in state.running else "failed" if trial.id in state.failures else "waiting"
    settings, description = trial.recipe.settings, plan.root_facts.description(trial.recipe)
    return TrialDescription(
        id=trial.id,
        optimizer=trial.recipe.optimizer_label,
        schedule=trial.recipe.schedule_label,
        seed=trial.seed,
        epochs=settings.epochs,
        settings=trial.recipe.axes,
        learning_rate=math.nan if trial.id in plan.provisional else trial.recipe.peak,
        status=status,
        reason=state.failures.get(trial.id, "") if status == "failed" else "",
        cpus=settings.resources.cpus_per_trial,
        gpus=settings.resources.gpus_per_trial,
        validation=description.validation,
        majority=description.majority,
    )


def comparison(plan: Plan, state: SweepState, target: float | None = None) -> Comparison:
    """The comparison of the sweep's recipes, from the history in `plan`; `target` as in `summarize`."""
    recorded = {trial.id: plan.history[trial.id] for trial in plan.trials if trial.id in plan.history}
    current = [_current_rows(rows, plan.cursors[trial_id].keys) for trial_id, rows in recorded.items()]
    history = pa.concat_tables([HISTORY.empty_table(), *current])
    outdated = sum(len(rows) for rows in recorded.values()) - len(history)
    notes = [f"{trial_id}: {note}" for trial_id, note in state.notes.items()]
    if outdated:
        notes.append(
            f"{outdated} epochs on record are of other settings or library versions than the sweep has now; "
            "they are not shown, and `sweep run` trains what is missing"
        )
    if plan.sweep.budget and plan.unfinished:
        notes.append(f"The sweep has a budget of {plan.sweep.budget.text}, of which {plan.spent:,.4g} are spent.")
    notes += [_range_test_note(test) for test in plan.tests if test.curve]
    recipes = {recipe_key(trial.recipe): trial for trial in plan.trials}
    return summarize(
        history,
        trials(plan, state),
        sweep=plan.sweep.name,
        published={key: trial.recipe.published for key, trial in recipes.items() if trial.recipe.published},
        target=target,
        monitor=plan.trials[0].recipe.settings.monitor,
        schedules={key: first_rates(plan, trial) for key, trial in recipes.items()},
        notes=notes,
        equivalence=plan.sweep.margin,
        race=_race(plan),
    )


def _race(plan: Plan) -> RaceResult | None:
    if plan.race is None:
        return None
    labels = {trial.recipe.label: recipe_key(trial.recipe) for trial in plan.all_trials}
    left = {
        labels[label]: Leaving(
            leaving.seeds, leaving.reason, labels[leaving.better].text if leaving.better else ""
        )
        for label, leaving in plan.race.left.items()
    }
    ended = tuple(dict.fromkeys(plan.race.ended.values())) if plan.race.over else ()
    return RaceResult(seeds=plan.race.seeds, inside=len(plan.race.inside), left=left, ended=ended)


def budget(plan: Plan) -> dict[str, Any] | None:
    """The budget of the sweep and what is spent of it, for programs; None without a budget."""
    settings = plan.sweep.budget
    if settings is None:
        return None
    return {"unit": "hours" if settings.epochs is None else "epochs", "total": settings.total, "spent": plan.spent}


def race(plan: Plan) -> dict[str, Any] | None:
    """Where the race stands, for programs: who is in it, who left when and why; None without a race."""
    if plan.race is None:
        return None
    return {
        "over": plan.race.over,
        "seeds": plan.race.seeds,
        "ended": dict(plan.race.ended),
        "inside": list(plan.race.inside),
        "left": [{"recipe": label, **asdict(leaving)} for label, leaving in plan.race.left.items()],
        "ahead": sum(t.id not in plan.race.admitted for t in plan.trials),
    }


def _current_rows(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """The first of a trial's rows, as far as they are the epochs with these keys: those of its settings now."""
    pairs = enumerate(zip(rows["epoch_key"].to_pylist(), keys, strict=False))
    return rows.slice(0, next((epoch for epoch, (row, key) in pairs if row != key), min(len(rows), len(keys))))


def recipe_key(recipe: Recipe) -> RecipeLabel:
    """The label of a recipe of the sweep file."""
    return RecipeLabel(recipe.optimizer_label, recipe.schedule_label, tuple(sorted(recipe.axes.items())))


def _range_test_note(test: LrRangeTest) -> str:
    suggestions = ", ".join(f"{name} {rate:.3g}" for name, rate in test.reading.suggestions.items())
    return (
        f"The learning rate of {test.label} was found by a range test of {test.ramp.steps} steps: {test.answer:g} "
        f"({test.ramp.suggestion}; the test suggests {suggestions})"
    )


def first_rates(plan: Plan, trial: Trial) -> list[float]:
    """The planned learning rate at the first step of each epoch; NaN before the range test of the recipe."""
    if trial.id in plan.provisional:
        return [math.nan] * plan.cursors[trial.id].chain.epochs
    return [float(rate) for rate in plan.cursors[trial.id].chain.table[:, 0]]


def first_momenta(plan: Plan, trial: Trial) -> dict[str, list[float]]:
    """The planned `momentum` at the first step of each epoch; empty for a schedule that does not change it."""
    momentum = plan.cursors[trial.id].chain.momentum
    return {} if momentum is None else {"momentum": [float(value) for value in momentum[:, 0]]}


def trial_counts(plan: Plan, state: SweepState) -> dict[str, int]:
    """The number of trials in total and by status; `completed` includes `stopped`."""
    counts = Counter(trial.status for trial in trials(plan, state))
    counts["completed"] += counts["stopped"]
    return {"total": len(plan.trials), **{name: counts[name] for name in STATUSES}}


def status(plan: Plan, state: SweepState, now: datetime) -> dict[str, Any]:
    """`sweep status --json`: trials by status, epochs, best epoch, time left.

    `seconds_left` is None unless the sweep is running and its run has trained an epoch. `now` has a time zone.
    """
    counts, epochs = trial_counts(plan, state), plan.epochs
    return {
        "sweep": plan.sweep.name,
        "trials": counts,
        "epochs": {"total": epochs.total, "done": epochs.known},
        "best": _best(plan),
        "seconds_left": _seconds_left(plan, state, now) if counts["running"] else None,
        **({"race": race(plan)} if plan.race else {}),
        **({"budget": budget(plan)} if plan.sweep.budget else {}),
    }


def _best(plan: Plan) -> dict[str, Any] | None:
    """The best epoch of all trials so far, by the monitored metric; None before the first epoch."""
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


def _seconds_left(plan: Plan, state: SweepState, now: datetime) -> float | None:
    """The time that the epochs to train will take, at the pace of the run since the start of its first epoch."""
    if state.run_started is None or not plan.history:
        return None
    rows = pa.concat_tables(plan.history.values())
    run_started = pa.scalar(datetime.fromtimestamp(state.run_started, UTC), rows.schema.field("started_at").type)
    trained = pc.and_(pc.greater_equal(rows["started_at"], run_started), pc.invert(rows["reused"]))
    epoch_starts = rows["started_at"].filter(trained)
    if not len(epoch_starts):
        return None
    elapsed: timedelta = now - pc.min(epoch_starts).as_py()
    return (plan.epochs.new + plan.epochs.recomputed) * elapsed.total_seconds() / len(epoch_starts)
