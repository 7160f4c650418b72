"""What a sweep means against a store: every trial's chain, how far it is known, and what is left to do."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from experiments import datasets, optimizers, schedules
from orchestrator import lineage
from orchestrator.grid import Recipe, Trial, trials
from orchestrator.lineage import Chain, Known, Walk
from orchestrator.records import Known as KnownEpochs
from orchestrator.store import Damage, Store
from orchestrator.sweep import Sweep

CACHE_VARIABLE = "SWEEP_CACHE"
_LIBRARIES = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib")}


@dataclass(frozen=True)
class EpochCounts:
    """Epochs of a plan: all of them; known to the store; trained once for several trials; to be trained.

    `again` counts known epochs that have to be computed once more, because no checkpoint after them is left.
    """

    total: int
    known: int
    shared: int
    new: int
    again: int


@dataclass(frozen=True)
class Plan:
    """A sweep's trials in order, and how far each is known in the store.

    `walks` and `history` (the sweep's own, as it was recorded) are by trial.
    """

    sweep: Sweep
    trials: tuple[Trial, ...]
    walks: Mapping[str, Walk]
    known: KnownEpochs
    history: Mapping[str, pa.Table]
    checkpoints: frozenset[str]
    damaged: tuple[Damage, ...]
    to_export: frozenset[str]
    share: bool

    @cached_property
    def unfinished(self) -> tuple[Trial, ...]:
        """The trials that have epochs to train, or a best model to export."""
        return tuple(t for t in self.trials if self.walks[t.id].ending is None or t.id in self.to_export)

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
        new = len(set(foreseen))
        return EpochCounts(known + len(foreseen), known, len(foreseen) - new, new, len(again))


class _OneTrialOnly:
    """What one trial alone has trained: the look-up where nothing is shared."""

    def __init__(self, rows: pa.Table | None, known: Known) -> None:
        self.keys = set() if rows is None else set(rows["epoch_key"].to_pylist())
        self.known = known

    def metrics(self, key: str) -> lineage.Metrics | None:
        return self.known.metrics(key) if key in self.keys else None


def cache_folder() -> Path:
    """Where this node keeps decoded data: $SWEEP_CACHE, or the user's cache folder."""
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sweep-orchestrator"


def backend() -> str:
    """The Keras backend that the workers will use."""
    return os.environ.get("KERAS_BACKEND", "tensorflow")


def make(sweep: Sweep, store: Store, share: bool = True) -> Plan:
    """Hold `sweep` against `store`. Reads both, changes neither. Raises InputError for what cannot run."""
    found = trials(sweep)
    chains = _chains(sweep, found)
    histories, damaged = store.read_all()
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
    return Plan(
        sweep=sweep,
        trials=tuple(found),
        walks=walks,
        known=known,
        history=own,
        checkpoints=frozenset(checkpoints),
        damaged=tuple(damaged),
        to_export=frozenset(_to_export(sweep, found, walks, checkpoints, models)),
        share=share,
    )


def _to_export(
    sweep: Sweep,
    found: list[Trial],
    walks: Mapping[str, Walk],
    checkpoints: set[str],
    models: Mapping[str, str],
) -> set[str]:
    """Finished trials whose best model is not there, but could be: its checkpoint is."""
    if not sweep.save_best:
        return set()
    result = set()
    for trial in found:
        best = walks[trial.id].best_key(trial.recipe.settings.monitor)
        if walks[trial.id].ending is not None and best in checkpoints and models.get(trial.id) != best:
            result.add(trial.id)
    return result


def _chains(sweep: Sweep, found: list[Trial]) -> dict[str, Chain]:
    """Every trial's chain; tables and the facts of a recipe are computed once for all its seeds."""
    cache = cache_folder()
    descriptions: dict[datasets.Data, datasets.Description] = {}
    tables: dict[str, npt.NDArray[np.float32]] = {}
    by_recipe: dict[int, tuple[dict[str, Any], npt.NDArray[np.float32]]] = {}
    chains = {}
    for trial in found:
        recipe = trial.recipe
        if id(recipe) not in by_recipe:
            data = recipe.settings.data
            if data not in descriptions:
                descriptions[data] = datasets.describe(data, cache)
            rates = _rates(recipe, descriptions[data])
            if repr(rates) not in tables:
                tables[repr(rates)] = schedules.table(*rates)
            optimizers.require(recipe.label, recipe.optimizer, tables[repr(rates)])
            facts = _facts(recipe, descriptions[data], sweep.trainer)
            by_recipe[id(recipe)] = facts, tables[repr(rates)]
        facts, table = by_recipe[id(recipe)]
        root = lineage.root_key({**facts, "seed": trial.seed})
        chains[trial.id] = Chain(root, table, recipe.plateau, recipe.settings.early_stopping)
    return chains


def _rates(recipe: Recipe, description: datasets.Description) -> tuple[schedules.Schedule, float, int, int, float]:
    """What `schedules.table` is made from: schedule, learning rate, epochs, steps, decay."""
    steps = -(-description.train // batch_size(recipe, description))
    optimizer = recipe.optimizer
    return recipe.schedule, optimizer.learning_rate, recipe.settings.epochs, steps, optimizer.decay


def batch_size(recipe: Recipe, description: datasets.Description) -> int:
    """Images a step: `full` is all that are trained on, and no batch is larger than that."""
    asked = recipe.settings.batch_size
    return description.train if asked == "full" else min(int(asked), description.train)


def _facts(recipe: Recipe, description: datasets.Description, trainer: str) -> dict[str, Any]:
    """All that decides a recipe's numbers, but for the seed and the learning rates."""
    settings = recipe.settings
    data = {key: value for key, value in asdict(settings.data).items() if key != "path"}
    return {
        "format": lineage.FORMAT,
        "trainer": trainer,
        "data": {**data, "fingerprint": description.fingerprint},
        "model": asdict(settings.model),
        "optimizer": {"class": recipe.optimizer.class_name, **recipe.optimizer.settings},
        "batch_size": batch_size(recipe, description),
        "precision": settings.precision,
        "deterministic": settings.deterministic,
        "backend": backend(),
        "device": "gpu" if settings.resources.gpus_per_trial else "cpu",
        "threads": settings.resources.cpus_per_trial,
        "versions": library_versions(backend()),
    }


@cache
def library_versions(backend_name: str) -> dict[str, str]:
    """The versions of the installed libraries whose arithmetic decides the numbers."""
    return {name: metadata.version(name) for name in ("keras", "numpy", "pillow", *_LIBRARIES[backend_name])}
