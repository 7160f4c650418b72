"""What a sweep means against a store: every trial's chain, how far it is known, and what is left to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from experiments import optimizers, schedules
from orchestrator.planning import epoch_chain, lr_range_tests
from orchestrator.planning.epoch_chain import ChainCursor, EpochChain, EpochLookup
from orchestrator.planning.root_key import RootFacts
from orchestrator.spec.sweep import Sweep
from orchestrator.spec.trials import Trial, trials
from orchestrator.storage.history import EpochIndex
from orchestrator.storage.store import Histories, Store, require_sweep_name
from orchestrator.storage.verified_files import CorruptFile


@dataclass(frozen=True)
class EpochCounts:
    """Epochs of a plan: all of them; known to the store; trained once for several trials; to be trained.

    `again` counts known epochs that have to be computed once more, because no checkpoint after them is left, or
    because that of a best model is gone which is not there.
    """

    total: int
    known: int
    shared: int
    new: int
    again: int


@dataclass(frozen=True)
class Rebuild:
    """A finished trial's best model that is gone with its checkpoint: its first `epochs` lead to it.

    `latest` is the trial's newest checkpoint, which the walk to the best model does not hold.
    """

    epochs: int
    latest: str | None


@dataclass(frozen=True)
class Plan:
    """A sweep's trials in order, and how far each is known in the store.

    `walks`, `history` (the sweep's own, as it was recorded) and `rebuilt` are by trial; `histories` are all
    sweeps'. Trials `to_export` have ended without a best model. `tests` are the range tests that `auto` rates ask
    for; trials that wait for one are `provisional`: their rates are fractions of the peak. `roots` knows what the
    recipes train on.
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
    tests: tuple[lr_range_tests.Test, ...]
    provisional: frozenset[str]
    root_facts: RootFacts

    @cached_property
    def unfinished(self) -> tuple[Trial, ...]:
        """The trials that have epochs to train, or a best model to export."""
        return tuple(t for t in self.trials if self.cursors[t.id].ending is None or t.id in self.to_export)

    @property
    def open_tests(self) -> tuple[lr_range_tests.Test, ...]:
        """The range tests that have to run before the trials that wait for them can have their learning rates."""
        return tuple(test for test in self.tests if test.curve is None)

    @cached_property
    def epochs(self) -> EpochCounts:
        """What is known, shared and new."""
        known = sum(len(cursor.keys) for cursor in self.cursors.values())
        foreseen = [
            key if self.share else f"{trial_id}:{key}"
            for trial_id, cursor in self.cursors.items()
            for key in cursor.foreseen()
        ]
        open_cursors = [cursor for cursor in self.cursors.values() if cursor.ending is None]
        again = {key for cursor in open_cursors for key in cursor.keys[cursor.resume :]}
        for trial_id, rebuild in self.rebuilt.items():
            again.update(self.cursors[trial_id].keys[self.cursors[trial_id].resume : rebuild.epochs])
        new = len(set(foreseen))
        return EpochCounts(known + len(foreseen), known, len(foreseen) - new, new, len(again))


class _OneTrialOnly:
    """What one trial alone has trained: the look-up where nothing is shared."""

    def __init__(self, rows: pa.Table | None, known: EpochLookup) -> None:
        self.keys = set() if rows is None else set(rows["epoch_key"].to_pylist())
        self.known = known

    def metrics(self, key: str) -> epoch_chain.Metrics | None:
        return self.known.metrics(key) if key in self.keys else None


def make(sweep: Sweep, store: Store, share: bool = True, root_facts: RootFacts | None = None) -> Plan:
    """Hold `sweep` against `store`. Reads both, changes neither. Raises InputError for what cannot run.

    The `roots` of another plan of this sweep spare a second look at the data.
    """
    require_sweep_name(sweep.name)
    root_facts = root_facts or RootFacts(sweep.trainer)
    tests, damaged_tests = lr_range_tests.needed(sweep, root_facts, store)
    found, provisional = lr_range_tests.answered(trials(sweep), tests)
    chains = _chains(found, provisional, root_facts)
    histories, damaged = store.read_all()
    damaged += damaged_tests
    models, damaged_models = store.read_models(sweep.name)
    damaged += damaged_models
    for folder in ("failures", "notes"):
        damaged += store.read_reasons(sweep.name, folder)[1]
    known = EpochIndex(histories.everything())
    own = histories.current.get(sweep.name, {})
    checkpoints = store.checkpoints()
    cursors = {}
    for trial in found:
        cursor = cursors[trial.id] = ChainCursor(chains[trial.id])
        cursor.extend(known if share else _OneTrialOnly(own.get(trial.id), known))
        cursor.find_checkpoint(checkpoints)
    to_export = _to_export(sweep, found, cursors, models)
    return Plan(
        sweep=sweep,
        trials=tuple(found),
        cursors=cursors,
        known=known,
        history=own,
        histories=histories,
        damaged=tuple(damaged),
        to_export=frozenset(to_export),
        rebuilt=_rebuilt(to_export, cursors, checkpoints),
        share=share,
        tests=tuple(lr_range_tests.distinct(tests.values())),
        provisional=frozenset(provisional),
        root_facts=root_facts,
    )


def _to_export(
    sweep: Sweep, found: Sequence[Trial], cursors: Mapping[str, ChainCursor], models: Mapping[str, str]
) -> dict[str, int]:
    """Finished trials whose best model is not there, and how many epochs lead to it."""
    result = {}
    for trial in found if sweep.save_best else ():
        cursor = cursors[trial.id]
        best = cursor.best_key(trial.recipe.settings.monitor)
        if cursor.ending is not None and best is not None and models.get(trial.id) != best:
            result[trial.id] = cursor.keys.index(best) + 1
    return result


def _rebuilt(
    to_export: Mapping[str, int], cursors: Mapping[str, ChainCursor], checkpoints: set[str]
) -> dict[str, Rebuild]:
    """Those of the trials `to_export` whose best checkpoint is gone; they go on from the newest before it."""
    result = {}
    for trial_id, epochs in to_export.items():
        cursor = cursors[trial_id]
        if cursor.keys[epochs - 1] not in checkpoints:
            result[trial_id] = Rebuild(epochs, cursor.keys[cursor.resume - 1] if cursor.resume else None)
            cursor.find_checkpoint(checkpoints, epochs)
    return result


def _chains(
    found: Sequence[Trial], provisional: Mapping[str, str], root_facts: RootFacts
) -> dict[str, EpochChain]:
    """Every trial's chain; tables and the facts of a recipe are computed once for all its seeds.

    A provisional trial's rates are parts of a peak that nobody knows yet, so no epoch that is known is its.
    """
    tables: dict[str, npt.NDArray[np.float32]] = {}
    by_recipe: dict[int, tuple[dict[str, Any], npt.NDArray[np.float32], npt.NDArray[np.float32] | None]] = {}
    chains = {}
    for trial in found:
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
