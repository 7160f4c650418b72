"""A plan, an outcome and a status: as text for people, as JSON for programs."""

from collections.abc import Sequence
from datetime import datetime
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments import schedules
from experiments.environment import available_cpus
from orchestrator.analysis import status
from orchestrator.analysis.durations import duration
from orchestrator.console.text import sparkline
from orchestrator.execution.events import Outcome
from orchestrator.planning import resource_estimates
from orchestrator.planning.checkpoint_retention import rungs
from orchestrator.planning.plan import Plan
from orchestrator.report.number_format import rate
from orchestrator.spec.keys import LADDER
from orchestrator.spec.trials import Trial
from orchestrator.storage.store import Store
from orchestrator.storage.sweep_state import SweepState

_RECOMPUTED = "are computed again, their checkpoints are gone"


def as_json(plan: Plan) -> dict[str, Any]:
    """`sweep plan --json`: every trial with the learning rate at the first step of each epoch, and epoch counts.

    The learning rates are None before the range test of the recipe. A trial whose schedule changes the momentum
    has `momentum` too.
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
        **({"race": {**(status.race(plan) or {}), **_race_limits(plan)}} if plan.race else {}),
        **({"budget": status.budget(plan)} if plan.sweep.budget else {}),
        "range_tests": [
            {"optimizer": test.label, "learning_rate": test.answer if test.curve else None} for test in plan.tests
        ],
    }


def facts(plan: Plan, store: Store) -> list[str]:
    """Sentences on the plan: counts, data and model, new epochs, epochs that no longer fit, time, disk."""
    epochs, sweep = plan.epochs, plan.sweep
    settings = plan.trials[0].recipe.settings
    data = plan.root_facts.description(plan.trials[0].recipe)
    test = f" and {data.test} test images" if data.test else ""
    return [
        f"{sweep.name}: {len(plan.trials)} trials, {epochs.total} epochs, store {store}",
        f"{settings.model.name} x {settings.model.width:g}, {data.train} + {data.validation} images{test} "
        f"({', '.join(data.classes[:4])}{', …' if len(data.classes) > 4 else ''}) "
        f"at {'x'.join(map(str, data.shape))}, batch {settings.batch_size}, {_seeds(sweep.seeds)}",
        f"epochs: {epochs.total} = {epochs.known} known + {epochs.shared} shared + {epochs.new} new"
        + (f"; {epochs.recomputed} known ones {_RECOMPUTED}" if epochs.recomputed else ""),
        *_race(plan),
        *_budget(plan),
        *_best_models(plan),
        *_range_tests(plan),
        *_starting_over(plan),
        _time(plan),
        _disk(plan),
        *_checkpoints(plan),
    ]


def _seeds(seeds: Sequence[int]) -> str:
    """The seeds, a long run of them as its ends.

    >>> _seeds([0, 1, 2]), _seeds(range(30))
    ('seeds [0, 1, 2]', 'seeds 0 to 29')
    """
    values = list(seeds)
    if len(values) > 8 and values == list(range(values[0], values[0] + len(values))):
        return f"seeds {values[0]} to {values[-1]}"
    return f"seeds {values}"


def render(plan: Plan, store: Store, console: Console) -> None:
    """Print the sentences on the plan and a table of its recipes."""
    headline, data, *further = facts(plan, store)
    console.print(Text(headline, style="bold"))
    console.print(Text(data))
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("recipe", "epochs", "known", "new", "first", "last", "learning rate"):
        is_text = name in ("recipe", "learning rate")
        # A narrow terminal folds the names: a number without its last digits would be another number.
        table.add_column(name, justify="left" if is_text else "right", no_wrap=name != "recipe", overflow="fold")
    for trials in by_recipe(plan).values():
        cursors = [plan.cursors[t.id] for t in trials]
        chain = cursors[0].chain
        known = sum(len(cursor.keys) for cursor in cursors)
        new = sum(0 if cursor.ending else cursor.chain.epochs - len(cursor.keys) for cursor in cursors)
        ends = ("auto", "auto")
        if trials[0].id not in plan.provisional:
            ends = rate(chain.table[0, 0]), rate(chain.table[-1, -1])
        table.add_row(
            Text(trials[0].recipe.label),
            str(trials[0].recipe.settings.epochs * len(trials)),
            str(known),
            str(new),
            *ends,
            sparkline([float(first_rate) for first_rate in chain.table[:, 0]], low=0.0),
        )
    console.print(table)
    for line in further:
        console.print(Text(line))


def _budget(plan: Plan) -> list[str]:
    """A sentence on the budget; none without one."""
    budget = plan.sweep.budget
    return [f"budget: {budget.text}, of which {plan.spent:,.4g} are spent"] if budget else []


def _race_limits(plan: Plan) -> dict[str, int]:
    """The fewest and the most epochs that the race has still to train."""
    return {"epochs_at_least": plan.epochs.new, "epochs_at_most": plan.epochs_at_most.new}


def _race(plan: Plan) -> list[str]:
    """Sentences on a race: where it stands, and what it may cost at least and at most."""
    settings, race = plan.sweep.race, plan.race
    if settings is None or race is None:
        return []
    recipes = len(race.inside) + len(race.left)
    lines = [
        f"race: {settings.first} seeds for each of {recipes} recipes, up to {settings.most} for those that may be "
        f"the best (confidence {settings.confidence:g})"
    ]
    if race.seeds:
        over = f"over: {', '.join(dict.fromkeys(race.ended.values()))}" if race.over else "it goes on"
        lines.append(f"race: after {race.seeds} seeds {len(race.inside)} of {recipes} recipes are in; {over}")
    if not race.over:
        limits = _race_limits(plan)
        lines.append(f"race: {limits['epochs_at_least']:,} to {limits['epochs_at_most']:,} new epochs")
    return lines


def by_recipe(plan: Plan) -> dict[str, list[Trial]]:
    """The trials of each recipe, by its label, in the order of the plan."""
    result: dict[str, list[Trial]] = {}
    for trial in plan.trials:
        result.setdefault(trial.recipe.label, []).append(trial)
    return result


def _best_models(plan: Plan) -> list[str]:
    """A sentence on the finished trials without a best model; none without such trials."""
    if not plan.to_export:
        return []
    sentence = f"best models: {len(plan.to_export)} of finished trials are missing and are made"
    if not plan.rebuilt:
        return [sentence]
    checkpoints = f"the checkpoints of {len(plan.rebuilt)} are gone, the epochs that lead there are computed again"
    return [f"{sentence}; {checkpoints}"]


def _range_tests(plan: Plan) -> list[str]:
    """A sentence on each learning rate from a range test, and one on the range tests to run."""
    lines = [
        f"auto: {test.label} has the learning rate {test.answer:g}, its range test's {test.ramp.suggestion}"
        for test in plan.tests
        if test.curve
    ]
    if plan.open_tests:
        labels = ", ".join(test.label for test in plan.open_tests)
        lines.append(
            f"range tests run first ({labels}; at most {plan.sweep.range_test.steps} steps each): the learning "
            f"rates of {len(plan.provisional)} trials are not known before"
        )
    return lines


def _starting_over(plan: Plan) -> list[str]:
    """A sentence on each recipe with epochs on record that no longer fit its settings."""
    sentences = []
    for trials in by_recipe(plan).values():
        trial = trials[0]
        rows = plan.history.get(trial.id)
        known = len(plan.cursors[trial.id].keys)
        if rows is None or len(rows) <= known or plan.cursors[trial.id].ending is not None:
            continue
        has_other_total = trial.recipe.settings.epochs != len(rows)
        depends_on_total = has_other_total and schedules.uses_total(trial.recipe.schedule)
        cause = (
            f"its schedule depends on the total of {trial.recipe.settings.epochs} epochs"
            if depends_on_total
            else "its settings or the libraries have changed"
        )
        start = "starts over" if not known else f"goes on from epoch {known}"
        unfit = len(rows) - known
        sentences.append(f"{trial.recipe.label} {start}, {unfit} epochs on record no longer fit: {cause}")
    return sentences


def _time(plan: Plan) -> str:
    """A sentence on the time of the epochs to train, from the seconds of the sweep's known epochs."""
    epochs = plan.epochs.new + plan.epochs.recomputed
    if not epochs:
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
        f"time: about {duration(median(seconds) * epochs / workers)} on this machine "
        f"({workers} at a time, {median(seconds):.2g} s an epoch so far)"
    )


def _disk(plan: Plan) -> str:
    """A sentence on the size of the sweep's checkpoints and models after its end."""
    megabytes = resource_estimates.disk(plan).most / 1e6
    return f"disk: at most {megabytes:,.0f} MB in checkpoints and best models when it is done"


def _checkpoints(plan: Plan) -> list[str]:
    """A sentence on the ladder of checkpoints and what it is for; none for a sweep without a ladder."""
    if plan.sweep.checkpoints != LADDER:
        return []
    longest = max(cursor.chain.epochs for cursor in plan.cursors.values())
    ladder = resource_estimates.on_the_way(plan)
    return [
        f"checkpoints: newest, best and a ladder of at most {len(rungs(longest - 1))} a trial, {len(ladder)} in "
        f"all, {sum(ladder.values()) / 1e6:,.0f} MB: a schedule added later computes at most a third of its known "
        "epochs again"
    ]


def outcome_json(state: SweepState, outcome: Outcome) -> dict[str, Any]:
    """`sweep run --json`: trials by their ending, epochs trained in this run and epochs reused."""
    plan, counts = outcome.plan, status.trial_counts(outcome.plan, state)
    total = sum(len(cursor.keys) for cursor in plan.cursors.values())
    return {
        "sweep": plan.sweep.name,
        "trials": {name: counts[name] for name in ("total", "completed", "diverged", "failed")},
        "epochs": {"total": total, "trained": outcome.trained, "reused": max(total - outcome.trained, 0)},
        "seconds": round(outcome.seconds, 3),
    }


def outcome_line(outcome: Outcome) -> str:
    """The epochs and the time of a run, as one line."""
    return f"trained {outcome.trained} epochs in {duration(outcome.seconds)}"


def render_status(plan: Plan, state: SweepState, now: datetime, console: Console) -> None:
    """Print the status of a sweep: counts, time left, best epoch, and every running or failed trial."""
    document = status.status(plan, state, now)
    trials, epochs, best = document["trials"], document["epochs"], document["best"]
    counts = ", ".join(f"{trials[name]} {name}" for name in status.STATUSES if trials[name])
    console.print(f"[bold]{plan.sweep.name}[/bold]: {trials['total']} trials: {counts}", highlight=False)
    seconds = document["seconds_left"]
    time_left = f", about {duration(seconds)} left" if seconds else ""
    console.print(f"epochs: {epochs['done']} of {epochs['total']} done{time_left}", highlight=False)
    for line in (*_race(plan)[1:], *_budget(plan)):
        console.print(line, highlight=False)
    for label, leaving in plan.race.left.items() if plan.race else ():
        better = f" {leaving.better}" if leaving.better else ""
        console.print(f"  {label}  left after {leaving.seeds} seeds: {leaving.reason}{better}", highlight=False)
    if best:
        monitor = plan.trials[0].recipe.settings.monitor
        console.print(f"best so far: {monitor} {best[monitor]:.4f}, {best['trial']}, epoch {best['epoch'] + 1}")
    for trial in status.trials(plan, state):
        cursor = plan.cursors[trial.id]
        if trial.status == "running":
            curve = sparkline([metrics["val_accuracy"] for metrics in cursor.history], low=0.0, high=1.0)
            console.print(f"  {trial.id}  epoch {len(cursor.keys)}/{trial.epochs}  {curve}", highlight=False)
        elif trial.status == "failed":
            console.print(f"  {trial.id}  failed: {trial.reason}", highlight=False, markup=False)
