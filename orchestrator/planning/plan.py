"""What a sweep means against a store: every trial's chain, how far it is known, and what is left to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from experiments import optimizers, schedules
from experiments.settings import InputError
from orchestrator.planning import epoch_chain, lr_range_tests
from orchestrator.planning import race as races
from orchestrator.planning.epoch_chain import ChainCursor, EpochChain, EpochLookup
from orchestrator.planning.race import RaceState
from orchestrator.planning.root_key import RootFacts
from orchestrator.spec.sweep import Sweep
from orchestrator.spec.trials import Trial, trials
from orchestrator.storage.filesystem import DamagedError
from orchestrator.storage.history import EpochIndex, Histories
from orchestrator.storage.store import Store
from orchestrator.storage.sweep_names import require_sweep_name
from orchestrator.storage.verified_files import CorruptFile

LOOKS = 4
"""A file that looks damaged at so many looks is damaged."""


@dataclass(frozen=True)
class EpochCounts:
    """Epochs of a plan: all of them; known to the store; trained once for several trials; to be trained.

    `recomputed` counts known epochs that are computed once more, because no checkpoint after them is left, or
    because a best model and its checkpoint are missing.
    """

    total: int
    known: int
    shared: int
    new: int
    recomputed: int


@dataclass(frozen=True)
class Rebuild:
    """A finished trial's best model that is missing with its checkpoint: the first `epochs` lead to it.

    `latest` is the key of the trial's newest checkpoint, which stays although it is not on the way there.
    """

    epochs: int
    latest: str | None


@dataclass(frozen=True)
class Plan:
    """A sweep's trials in order, and how far each is known in the store. A plan never changes.

    In a race `trials` are those that its decisions so far ask for, and others that have ended; `reserve` are those
    that it may still ask for, or never will. Without a race `race` is None and nothing is in reserve.

    `cursors`, `history` (of this sweep, as it was recorded) and `rebuilt` are by trial; `histories` are those of
    all sweeps. Nobody advances the cursors: a run advances copies. Trials `to_export` have ended without a best
    model. `tests` are the range tests that `auto` rates need; trials that wait for one are `provisional`, with
    the key of the test: their rates are fractions of the peak. `root_facts` knows the data of the recipes.
    """

    sweep: Sweep
    trials: tuple[Trial, ...]
    cursors: Mapping[str, ChainCursor]
    known: EpochIndex
    history: Mapping[str, pa.Table]
    histories: Histories
    damaged: tuple[CorruptFile, ...]
    to_export: frozenset[str]
    rebuilt: Mapping[str, Rebuild]
    share: bool
    tests: tuple[lr_range_tests.LrRangeTest, ...]
    provisional: Mapping[str, str]
    root_facts: RootFacts
    race: RaceState | None = None
    reserve: tuple[Trial, ...] = ()

    @cached_property
    def unfinished(self) -> tuple[Trial, ...]:
        """The trials that have epochs to train, or a best model to export."""
        return tuple(t for t in self.trials if self.cursors[t.id].ending is None or t.id in self.to_export)

    @cached_property
    def spent(self) -> float:
        """What the epochs on record have taken from the budget; 0 without a budget."""
        budget = self.sweep.budget
        if budget is None:
            return 0.0
        total = 0.0
        for trial in self.all_trials:
            rows = self.history.get(trial.id)
            resources = trial.recipe.settings.resources
            for seconds, reused in (
                zip(rows["seconds"].to_pylist(), rows["reused"].to_pylist(), strict=True)
                if (rows is not None)
                else ()
            ):
                if not reused:
                    total += budget.cost(seconds or 0.0, resources.cpus_per_trial, resources.gpus_per_trial)
        return total

    @property
    def has_work(self) -> bool:
        """Whether a run has anything to train or to export, and the budget buys it."""
        budget = self.sweep.budget
        return bool(self.unfinished) and (budget is None or self.spent < budget.total)

    @property
    def all_trials(self) -> tuple[Trial, ...]:
        """The trials, and those in reserve."""
        return (*self.trials, *self.reserve)

    @property
    def may_run(self) -> tuple[Trial, ...]:
        """The trials that a run may start or record: the unfinished ones, and in a race those in reserve.

        A trial in reserve may have ended already: another sweep has trained it.
        """
        return (*self.unfinished, *self.reserve)

    @property
    def open_tests(self) -> tuple[lr_range_tests.LrRangeTest, ...]:
        """The range tests that have to run before the trials that wait for them can have their learning rates."""
        return tuple(test for test in self.tests if test.curve is None)

    @cached_property
    def epochs(self) -> EpochCounts:
        """What is known, shared and new."""
        return self.counts(self.trials)

    @cached_property
    def epochs_at_most(self) -> EpochCounts:
        """The same if a race asks for every trial that it still may ask for."""
        inside = set(self.race.inside) if self.race and not self.race.over else set()
        return self.counts((*self.trials, *(t for t in self.reserve if t.recipe.label in inside)))

    def counts(self, trials: Sequence[Trial]) -> EpochCounts:
        """What is known, shared and new of some of the trials."""
        cursors = {trial.id: self.cursors[trial.id] for trial in trials}
        known = sum(len(cursor.keys) for cursor in cursors.values())
        foreseen = [
            key if self.share else f"{trial_id}:{key}"
            for trial_id, cursor in cursors.items()
            for key in cursor.foreseen()
        ]
        open_cursors = [cursor for cursor in cursors.values() if cursor.ending is None]
        recomputed = {key for cursor in open_cursors for key in cursor.keys[cursor.resume :]}
        for trial_id, rebuild in self.rebuilt.items():
            recomputed.update(self.cursors[trial_id].keys[self.cursors[trial_id].resume : rebuild.epochs])
        new = len(set(foreseen))
        return EpochCounts(known + len(foreseen), known, len(foreseen) - new, new, len(recomputed))


class _OneTrialOnly:
    """The epochs on record for one trial: the look-up where trials share nothing."""

    def __init__(self, rows: pa.Table | None, known: EpochLookup) -> None:
        self.keys = set() if rows is None else set(rows["epoch_key"].to_pylist())
        self.known = known

    def metrics(self, key: str) -> epoch_chain.Metrics | None:
        return self.known.metrics(key) if key in self.keys else None


def make(sweep: Sweep, store: Store, share: bool = True, root_facts: RootFacts | None = None) -> Plan:
    """Compare `sweep` with `store`. Reads both, changes neither. Raises InputError for what cannot run.

    The `root_facts` of another plan of this sweep spare a second look at the data.
    """
    require_sweep_name(sweep.name)
    plan = _compare(sweep, store, share, root_facts or RootFacts(sweep.trainer), None)
    _require_first_seeds(plan)
    return plan


def renew(plan: Plan, store: Store, share: bool | None = None) -> Plan:
    """The plan of the same sweep as the store is now, with `share` as before where it is None. Raises InputError.

    Only what has changed in the store since `plan` was made is read and computed again.
    """
    return _compare(plan.sweep, store, plan.share if share is None else share, plan.root_facts, plan)


def undamaged(plan: Plan, store: Store, looks: int = LOOKS) -> Plan:
    """The plan without damaged files. Raises DamagedError for files that are damaged at each of several `looks`.

    A model and its record are two files: while a run is between them the pair looks damaged.
    """
    reasons = {damage.reason for damage in plan.damaged}
    for _ in range(looks - 1):
        if reasons:
            plan = renew(plan, store)
            reasons &= {damage.reason for damage in plan.damaged}
    if reasons:
        raise DamagedError(f"{'; '.join(sorted(reasons)[:3])}. `sweep run` sets it aside and makes it again")
    return plan


def _compare(sweep: Sweep, store: Store, share: bool, root_facts: RootFacts, before: Plan | None) -> Plan:
    """The plan; what it has in common with the plan `before` of the same sweep is taken from there."""
    tests, damaged_tests = lr_range_tests.needed(sweep, root_facts, store)
    distinct_tests = tuple(lr_range_tests.distinct(tests.values()))
    if before and [test.curve for test in before.tests] == [test.curve for test in distinct_tests]:
        by_id = {trial.id: trial for trial in before.all_trials}
        sweep_trials, provisional = tuple(by_id[trial_id] for trial_id in before.cursors), before.provisional
        chains = {trial_id: cursor.chain for trial_id, cursor in before.cursors.items()}
    else:
        before = None
        sweep_trials, provisional = lr_range_tests.with_numbers(trials(sweep), tests)
        chains = _chains(sweep_trials, provisional, root_facts)
    histories, damaged = store.read_all()
    damaged += damaged_tests
    models, damaged_models = store.read_models(sweep.name)
    damaged += damaged_models
    for folder in ("failures", "notes"):
        damaged += store.read_reasons(sweep.name, folder)[1]
    history = histories.current.get(sweep.name, {})
    if before and not histories.same_epochs(before.histories):
        before = None
    known = before.known if before else EpochIndex(histories.everything())
    checkpoints = store.checkpoints.complete()
    cursors = {}
    for trial in sweep_trials:
        if before and before.share == share:
            cursor = before.cursors[trial.id].copy()
        else:
            cursor = ChainCursor(chains[trial.id])
            cursor.extend(known if share else _OneTrialOnly(history.get(trial.id), known))
        cursor.find_checkpoint(checkpoints)
        cursors[trial.id] = cursor
    race, reserve = None, list[Trial]()
    if sweep.race is not None:
        failures = {trial_id for trial_id in store.failures(sweep.name) if trial_id in cursors}
        failures = {trial_id for trial_id in failures if cursors[trial_id].ending is None}
        race = races.state(sweep.race, sweep.margin, sweep_trials, cursors, failures)
        visible = race.admitted | {i for i in history.keys() & cursors.keys() if cursors[i].ending is not None}
        reserve = [t for t in sweep_trials if t.id not in visible]
        sweep_trials = tuple(t for t in sweep_trials if t.id in visible)
    to_export = _to_export(sweep, sweep_trials, cursors, models)
    return Plan(
        sweep=sweep,
        trials=tuple(sweep_trials),
        cursors=cursors,
        known=known,
        history=history,
        histories=histories,
        damaged=tuple(damaged),
        to_export=frozenset(to_export),
        rebuilt=_rebuilt(to_export, cursors, checkpoints),
        share=share,
        tests=distinct_tests,
        provisional=provisional,
        root_facts=root_facts,
        race=race,
        reserve=tuple(reserve),
    )


def _require_first_seeds(plan: Plan) -> None:
    """Raise InputError for a budget of epochs that does not buy the first seeds: of a race, or one of each
    recipe.
    """
    sweep, budget = plan.sweep, plan.sweep.budget
    if budget is None or budget.epochs is None or plan.spent:
        return
    count = sweep.race.first if sweep.race else 1
    needed = plan.counts([trial for trial in plan.all_trials if trial.seed in sweep.seeds[:count]]).new
    if needed > budget.epochs:
        seeds = "first seed" if count == 1 else f"first {count} seeds"
        raise InputError(
            f"budget.epochs: expected at least {needed:,}, which the {seeds} of each recipe take, "
            f"got {budget.epochs:,}"
        )


def _to_export(
    sweep: Sweep, sweep_trials: Sequence[Trial], cursors: Mapping[str, ChainCursor], models: Mapping[str, str]
) -> dict[str, int]:
    """Finished trials whose best model is not there, and how many epochs lead to it."""
    result = {}
    for trial in sweep_trials if sweep.save_best else ():
        cursor = cursors[trial.id]
        best = cursor.best_key(trial.recipe.settings.monitor)
        if cursor.ending is not None and best is not None and models.get(trial.id) != best:
            result[trial.id] = cursor.keys.index(best) + 1
    return result


def _rebuilt(
    to_export: Mapping[str, int], cursors: Mapping[str, ChainCursor], checkpoints: set[str]
) -> dict[str, Rebuild]:
    """Those of the trials `to_export` whose best checkpoint is missing; they go on from the newest before it."""
    result = {}
    for trial_id, epochs in to_export.items():
        cursor = cursors[trial_id]
        if cursor.keys[epochs - 1] not in checkpoints:
            result[trial_id] = Rebuild(epochs, cursor.keys[cursor.resume - 1] if cursor.resume else None)
            cursor.find_checkpoint(checkpoints, epochs)
    return result


def _chains(
    sweep_trials: Sequence[Trial], provisional: Mapping[str, str], root_facts: RootFacts
) -> dict[str, EpochChain]:
    """Every trial's chain; tables and the facts of a recipe are computed once for all its seeds.

    A provisional trial's rates are fractions of an unknown peak, so its root key is one that no epoch has.
    """
    tables: dict[str, npt.NDArray[np.float32]] = {}
    by_recipe: dict[int, tuple[dict[str, Any], npt.NDArray[np.float32], npt.NDArray[np.float32] | None]] = {}
    chains = {}
    for trial in sweep_trials:
        recipe = trial.recipe
        if id(recipe) not in by_recipe:
            optimizer = recipe.optimizer
            rates = recipe.schedule, recipe.peak, recipe.settings.epochs, root_facts.steps(recipe), optimizer.decay
            if repr(rates) not in tables:
                tables[repr(rates)] = schedules.table(*rates)
            table = tables[repr(rates)]
            momentum = schedules.momentum_table(recipe.schedule, *table.shape)
            optimizers.require(recipe.label, optimizer, table, cycles_momentum=momentum is not None)
            by_recipe[id(recipe)] = root_facts.facts(recipe, cycles_momentum=momentum is not None), table, momentum
        facts, table, momentum = by_recipe[id(recipe)]
        salt = {"range_test": provisional[trial.id]} if trial.id in provisional else {}
        root = epoch_chain.root_key({**facts, **salt, "seed": trial.seed})
        chains[trial.id] = EpochChain(root, table, recipe.plateau, recipe.settings.early_stopping, momentum)
    return chains
