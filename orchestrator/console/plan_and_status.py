"""What a plan, a run and a status look like: for people on a console, for programs as JSON."""

from datetime import datetime
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments import schedules
from experiments.environment import available_cpus
from orchestrator.analysis import status
from orchestrator.console.live_progress import duration, sparkline
from orchestrator.execution.events import Outcome
from orchestrator.planning import resource_estimates
from orchestrator.planning.plan import Plan
from orchestrator.spec.trials import Trial
from orchestrator.storage.store import Store
from orchestrator.storage.sweep_state import SweepState

_RECOMPUTED = "are computed again, their checkpoints are gone"


def as_json(plan: Plan) -> dict[str, Any]:
    """`sweep plan --json`: every trial with the learning rate at the first step of each epoch, and the epochs.

    The learning rates are None where a range test has to find them first; a trial has a `momentum` beside them
    where its schedule cycles it.
    """
    epochs = plan.epochs
    return {
        "sweep": plan.sweep.name,
        "trials": [
            {
                "id": trial.id,
                "optimizer": trial.recipe.optimizer_label,
                "schedule": trial.recipe.schedule_label,
                "seed": trial.seed,
                "epochs": trial.recipe.settings.epochs,
                "known": len(plan.cursors[trial.id].keys),
                "learning_rate": None if trial.id in plan.provisional else status.first_rates(plan, trial),
                **status.first_momenta(plan, trial),
            }
            for trial in plan.trials
        ],
        "epochs": {
            "total": epochs.total,
            "known": epochs.known,
            "shared": epochs.shared,
            "new": epochs.new,
            "again": epochs.recomputed,
        },
        "range_tests": [
            {"optimizer": test.label, "learning_rate": test.answer if test.curve else None} for test in plan.tests
        ],
    }


def facts(plan: Plan, store: Store) -> list[str]:
    """What would run, in sentences: counts, data and model, what is new, what starts over, time and disk."""
    epochs, sweep = plan.epochs, plan.sweep
    settings = plan.trials[0].recipe.settings
    there = plan.root_facts.description(plan.trials[0].recipe)
    return [
        f"{sweep.name}: {len(plan.trials)} trials, {epochs.total} epochs, store {store}",
        f"{settings.model.name} x {settings.model.width:g}, {there.train} + {there.validation} images "
        f"({', '.join(there.classes[:4])}{', …' if len(there.classes) > 4 else ''}) "
        f"at {'x'.join(map(str, there.shape))}, batch {settings.batch_size}, seeds {list(sweep.seeds)}",
        f"epochs: {epochs.total} = {epochs.known} known + {epochs.shared} shared + {epochs.new} new"
        + (f"; {epochs.recomputed} known ones {_RECOMPUTED}" if epochs.recomputed else ""),
        *_best_models(plan),
        *_range_tests(plan),
        *_starting_over(plan),
        _time(plan),
        _disk(plan),
    ]


def render(plan: Plan, store: Store, console: Console) -> None:
    """Print what would run."""
    headline, what, *rest = facts(plan, store)
    console.print(Text(headline, style="bold"))
    console.print(Text(what))
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("recipe", "epochs", "known", "new", "first", "last", "learning rate"):
        left = name in ("recipe", "learning rate")
        # In a narrow terminal the names are folded: a number that is cut off is another number.
        table.add_column(name, justify="left" if left else "right", no_wrap=name != "recipe", overflow="fold")
    for trials in by_recipe(plan).values():
        cursors = [plan.cursors[t.id] for t in trials]
        chain = cursors[0].chain
        known = sum(len(w.keys) for w in cursors)
        open_ = trials[0].id in plan.provisional
        table.add_row(
            Text(trials[0].recipe.label),
            str(trials[0].recipe.settings.epochs * len(trials)),
            str(known),
            str(sum(0 if w.ending else w.chain.epochs - len(w.keys) for w in cursors)),
            *(("auto", "auto") if open_ else (f"{chain.table[0, 0]:.3g}", f"{chain.table[-1, -1]:.3g}")),
            sparkline([float(r) for r in chain.table[:, 0]], low=0.0),
        )
    console.print(table)
    for line in rest:
        console.print(Text(line))


def by_recipe(plan: Plan) -> dict[str, list[Trial]]:
    """The plan's trials, those of one recipe together, by its label."""
    result: dict[str, list[Trial]] = {}
    for trial in plan.trials:
        result.setdefault(trial.recipe.label, []).append(trial)
    return result


def _best_models(plan: Plan) -> list[str]:
    """Which finished trials are without their best model, and what it costs to make it."""
    if not plan.to_export:
        return []
    ended = f"best models: {len(plan.to_export)} of finished trials are missing and are made"
    if not plan.rebuilt:
        return [ended]
    return [
        f"{ended}; the checkpoints of {len(plan.rebuilt)} are gone, the epochs that lead there are computed again"
    ]


def _range_tests(plan: Plan) -> list[str]:
    """Which learning rates were found by a range test, and which are still to be."""
    lines = [
        f"auto: {test.label} has the learning rate {test.answer:g}, its range test's {test.ramp.suggestion}"
        for test in plan.tests
        if test.curve
    ]
    if plan.open_tests:
        named = ", ".join(test.label for test in plan.open_tests)
        lines.append(
            f"range tests run first ({named}; at most {plan.sweep.range_test.steps} steps each): the learning "
            f"rates of {len(plan.provisional)} trials are not known before"
        )
    return lines


def _starting_over(plan: Plan) -> list[str]:
    """Which trials have epochs on record that are of no use to them now, and why."""
    lines = []
    for trials in by_recipe(plan).values():
        trial = trials[0]
        rows = plan.history.get(trial.id)
        kept = len(plan.cursors[trial.id].keys)
        if rows is None or len(rows) <= kept or plan.cursors[trial.id].ending is not None:
            continue
        longer = trial.recipe.settings.epochs != len(rows) and schedules.uses_total(trial.recipe.schedule)
        why = (
            f"its schedule depends on the total of {trial.recipe.settings.epochs} epochs"
            if longer
            else "its settings or the libraries have changed"
        )
        again = "starts over" if not kept else f"goes on from epoch {kept}"
        lines.append(f"{trial.recipe.label} {again}, {len(rows) - kept} epochs on record no longer fit: {why}")
    return lines


def _time(plan: Plan) -> str:
    """How long the new epochs will take, from the same sweep's epochs so far."""
    left = plan.epochs.new + plan.epochs.recomputed
    if not left:
        return "time: nothing is left to train"
    seconds = [
        float(plan.known.row(key)["seconds"])
        for cursor in list(plan.cursors.values())[:200]
        for key in cursor.keys[:20]
    ]
    if not seconds:
        return "time: not known before the first epoch has been trained"
    cpus = plan.trials[0].recipe.settings.resources.cpus_per_trial
    workers = max(min(available_cpus() // cpus, len(plan.unfinished)), 1)
    return (
        f"time: about {duration(median(seconds) * left / workers)} on this machine "
        f"({workers} at a time, {median(seconds):.2g} s an epoch so far)"
    )


def _disk(plan: Plan) -> str:
    """How much the checkpoints and models of the sweep can take when it is done."""
    megabytes = resource_estimates.disk(plan).most / 1e6
    return f"disk: at most {megabytes:,.0f} MB in checkpoints and best models when it is done"


def outcome_json(state: SweepState, outcome: Outcome) -> dict[str, Any]:
    """`sweep run --json`: trials by how they ended, epochs trained in this run and taken."""
    plan, counts = outcome.plan, status.trial_counts(outcome.plan, state)
    total = sum(len(cursor.keys) for cursor in plan.cursors.values())
    return {
        "sweep": plan.sweep.name,
        "trials": {name: counts[name] for name in ("total", "completed", "diverged", "failed")},
        "epochs": {"total": total, "trained": outcome.trained, "reused": max(total - outcome.trained, 0)},
        "seconds": round(outcome.seconds, 3),
    }


def outcome_line(outcome: Outcome) -> str:
    """What a run did, in a line."""
    return f"trained {outcome.trained} epochs in {duration(outcome.seconds)}"


def render_status(plan: Plan, state: SweepState, now: datetime, console: Console) -> None:
    """Print where the sweep stands: counts, time left, best so far, and every trial that runs or has failed."""
    document = status.status(plan, state, now)
    trials, epochs, best = document["trials"], document["epochs"], document["best"]
    counts = ", ".join(f"{trials[name]} {name}" for name in status.STATUSES if trials[name])
    console.print(f"[bold]{plan.sweep.name}[/bold]: {trials['total']} trials: {counts}", highlight=False)
    left = document["seconds_left"]
    console.print(
        f"epochs: {epochs['done']} of {epochs['total']} done" + (f", about {duration(left)} left" if left else ""),
        highlight=False,
    )
    if best:
        monitor = plan.trials[0].recipe.settings.monitor
        console.print(f"best so far: {monitor} {best[monitor]:.4f}, {best['trial']}, epoch {best['epoch'] + 1}")
    for trial in status.trials(plan, state):
        cursor = plan.cursors[trial.id]
        if trial.status == "running":
            curve = sparkline([m["val_accuracy"] for m in cursor.history], low=0.0, high=1.0)
            console.print(f"  {trial.id}  epoch {len(cursor.keys)}/{trial.epochs}  {curve}", highlight=False)
        elif trial.status == "failed":
            console.print(f"  {trial.id}  failed: {trial.reason}", highlight=False, markup=False)
