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
from orchestrator.planning.epoch_chain import Chain, Known, Walk
from orchestrator.planning.root_key import Roots
from orchestrator.spec.sweep import Sweep
from orchestrator.spec.trials import Trial, trials
from orchestrator.storage.history import Known as KnownEpochs
from orchestrator.storage.store import Histories, Store, require_sweep_name
from orchestrator.storage.verified_files import Damage


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
    walks: Mapping[str, Walk]
    known: KnownEpochs
    history: Mapping[str, pa.Table]
    histories: Histories
    damaged: tuple[Damage, ...]
    to_export: frozenset[str]
    rebuilt: Mapping[str, Rebuild]
    share: bool
    tests: tuple[lr_range_tests.Test, ...]
    provisional: frozenset[str]
    roots: Roots

    @cached_property
    def unfinished(self) -> tuple[Trial, ...]:
        """The trials that have epochs to train, or a best model to export."""
        return tuple(t for t in self.trials if self.walks[t.id].ending is None or t.id in self.to_export)

    @property
    def open_tests(self) -> tuple[lr_range_tests.Test, ...]:
        """The range tests that have to run before the trials that wait for them can have their learning rates."""
        return tuple(test for test in self.tests if test.curve is None)

    @cached_property
    def epochs(self) -> EpochCounts:
        """What is known, shared and new."""
        known = sum(len(walk.keys) for walk in self.walks.values())
        foreseen = [
            key if self.share else f"{trial_id}:{key}"
            for trial_id, walk in self.walks.items()
            for key in walk.foreseen()
        ]
        open_walks = [walk for walk in self.walks.values() if walk.ending is None]
        again = {key for walk in open_walks for key in walk.keys[walk.resume :]}
        for trial_id, rebuild in self.rebuilt.items():
            again.update(self.walks[trial_id].keys[self.walks[trial_id].resume : rebuild.epochs])
        new = len(set(foreseen))
        return EpochCounts(known + len(foreseen), known, len(foreseen) - new, new, len(again))


class _OneTrialOnly:
    """What one trial alone has trained: the look-up where nothing is shared."""

    def __init__(self, rows: pa.Table | None, known: Known) -> None:
        self.keys = set() if rows is None else set(rows["epoch_key"].to_pylist())
        self.known = known

    def metrics(self, key: str) -> epoch_chain.Metrics | None:
        return self.known.metrics(key) if key in self.keys else None


def make(sweep: Sweep, store: Store, share: bool = True, roots: Roots | None = None) -> Plan:
    """Hold `sweep` against `store`. Reads both, changes neither. Raises InputError for what cannot run.

    The `roots` of another plan of this sweep spare a second look at the data.
    """
    require_sweep_name(sweep.name)
    roots = roots or Roots(sweep.trainer)
    tests, damaged_tests = lr_range_tests.needed(sweep, roots, store)
    found, provisional = lr_range_tests.answered(trials(sweep), tests)
    chains = _chains(found, provisional, roots)
    histories, damaged = store.read_all()
    damaged += damaged_tests
    models, damaged_models = store.read_models(sweep.name)
    damaged += damaged_models
    for folder in ("failures", "notes"):
        damaged += store.read_reasons(sweep.name, folder)[1]
    known = KnownEpochs(histories.everything())
    own = histories.current.get(sweep.name, {})
    checkpoints = store.checkpoints()
    walks = {}
    for trial in found:
        walk = walks[trial.id] = Walk(chains[trial.id])
        walk.extend(known if share else _OneTrialOnly(own.get(trial.id), known))
        walk.find_checkpoint(checkpoints)
    to_export = _to_export(sweep, found, walks, models)
    return Plan(
        sweep=sweep,
        trials=tuple(found),
        walks=walks,
        known=known,
        history=own,
        histories=histories,
        damaged=tuple(damaged),
        to_export=frozenset(to_export),
        rebuilt=_rebuilt(to_export, walks, checkpoints),
        share=share,
        tests=tuple(lr_range_tests.distinct(tests.values())),
        provisional=frozenset(provisional),
        roots=roots,
    )


def _to_export(
    sweep: Sweep, found: Sequence[Trial], walks: Mapping[str, Walk], models: Mapping[str, str]
) -> dict[str, int]:
    """Finished trials whose best model is not there, and how many epochs lead to it."""
    result = {}
    for trial in found if sweep.save_best else ():
        walk = walks[trial.id]
        best = walk.best_key(trial.recipe.settings.monitor)
        if walk.ending is not None and best is not None and models.get(trial.id) != best:
            result[trial.id] = walk.keys.index(best) + 1
    return result


def _rebuilt(to_export: Mapping[str, int], walks: Mapping[str, Walk], checkpoints: set[str]) -> dict[str, Rebuild]:
    """Those of the trials `to_export` whose best checkpoint is gone; they go on from the newest before it."""
    result = {}
    for trial_id, epochs in to_export.items():
        walk = walks[trial_id]
        if walk.keys[epochs - 1] not in checkpoints:
            result[trial_id] = Rebuild(epochs, walk.keys[walk.resume - 1] if walk.resume else None)
            walk.find_checkpoint(checkpoints, epochs)
    return result


def _chains(found: Sequence[Trial], provisional: Mapping[str, str], roots: Roots) -> dict[str, Chain]:
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
            rates = recipe.schedule, recipe.peak, recipe.settings.epochs, roots.steps(recipe), optimizer.decay
            if repr(rates) not in tables:
                tables[repr(rates)] = schedules.table(*rates)
            table = tables[repr(rates)]
            momentum = schedules.momentum_table(recipe.schedule, *table.shape)
            optimizers.require(recipe.label, optimizer, table, cycles_momentum=momentum is not None)
            by_recipe[id(recipe)] = roots.facts(recipe, cycles_momentum=momentum is not None), table, momentum
        facts, table, momentum = by_recipe[id(recipe)]
        salt = {"range_test": provisional[trial.id]} if trial.id in provisional else {}
        root = epoch_chain.root_key({**facts, **salt, "seed": trial.seed})
        chains[trial.id] = Chain(root, table, recipe.plateau, recipe.settings.early_stopping, momentum)
    return chains
