"""Keys and stores with the machine taken out of them. The only file here that imports what is tested.

Library versions, the processor and the variables of the environment are facts of a key. `fixed` puts written
ones in their place, so that a key depends on the settings and the code alone. Moving modules changes the imports
and the names that are patched here, and nothing else in this folder.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from experiments import datasets, environment, numerics
from orchestrator.execution.events import Outcome
from orchestrator.execution.run import run_sweep
from orchestrator.planning import epoch_chain, plan, root_key
from orchestrator.planning.plan import Plan
from orchestrator.spec import sweep, yaml_document
from orchestrator.spec.sweep import Sweep
from orchestrator.storage import store
from orchestrator.storage.store import Store
from tests.support.silent import Silent

PROCESSOR, ACCELERATOR = "golden processor", "golden GPU"
VERSIONS = {"keras": "1.0", "numpy": "2.0", "pillow": "3.0", "tensorflow": "4.0"}
VERSIONS_OF_JAX = {"keras": "1.0", "numpy": "2.0", "pillow": "3.0", "jax": "5.0", "jaxlib": "6.0"}
DIGITS = datasets.Description(tuple("0123456789"), 1348, 449, (32, 32, 1), "d" * 64, 0, 0.1)
PHOTOS = datasets.Description(("cat", "dog"), 18750, 6250, (224, 224, 3), "e" * 64, 0, 0.5)
COMPACT_ABOVE = 3
TIMINGS = ("seconds", "images_per_second", "started_at", "host", "reused")
"""The columns of a history that depend on when, where and in which order it was trained."""


@dataclass(frozen=True)
class Machine:
    """What a machine adds to the facts of a key."""

    versions: Mapping[str, str] = field(default_factory=lambda: VERSIONS)
    processor: str = PROCESSOR
    accelerator: str = ACCELERATOR
    backend: str = "tensorflow"
    environment: Mapping[str, str] = field(default_factory=dict)


def this_machine() -> Machine:
    """What this machine adds."""
    variables = numerics.environment(os.environ, "tensorflow", numerics.processor(), gpu=False)
    return Machine(environment.library_versions("tensorflow"), numerics.processor(), environment=variables)


def as_json(machine: Machine) -> dict[str, Any]:
    """A machine as it is written down; `Machine(**...)` reads it."""
    return asdict(machine)


GOLDEN = Machine()
ON_JAX = Machine(VERSIONS_OF_JAX, backend="jax")
DEFAULT_TRAINER = sweep.DEFAULT_TRAINER


@contextlib.contextmanager
def fixed(machine: Machine = GOLDEN) -> Iterator[None]:
    """Let this process take itself for `machine`."""
    with pytest.MonkeyPatch.context() as patch:
        for name in numerics.deciding(os.environ):
            patch.delenv(name)
        for name, value in machine.environment.items():
            patch.setenv(name, value)
        patch.setenv("KERAS_BACKEND", machine.backend)
        patch.setattr(root_key, "library_versions", lambda backend_name: dict(machine.versions))
        patch.setattr(numerics, "hardware", lambda gpu: machine.accelerator if gpu else machine.processor)
        yield


@contextlib.contextmanager
def _data_by_hand() -> Iterator[None]:
    def describe(data: datasets.Data, *_: Any) -> datasets.Description:
        whole = PHOTOS if data.name == "images" else DIGITS
        return _with_test(whole, data) if data.test else whole

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "describe", describe)
        yield


def _with_test(whole: datasets.Description, data: datasets.Data) -> datasets.Description:
    images = whole.train + whole.validation
    held, test = round(data.validation * images), round(data.test * images)
    return replace(whole, train=images - held - test, validation=held, test=test)


@contextlib.contextmanager
def hashed_facts() -> Iterator[dict[str, Mapping[str, Any]]]:
    """All facts that are made into a root key meanwhile, by that key."""
    seen: dict[str, Mapping[str, Any]] = {}
    hashed = epoch_chain.root_key

    def remember(facts: Mapping[str, Any]) -> str:
        key = hashed(facts)
        seen[key] = facts
        return key

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epoch_chain, "root_key", remember)
        yield seen


def loaded(file: Path, **changes: Any) -> Sweep:
    """The sweep file with dotted settings changed; the dots are written as two underscores."""
    return sweep.load(file, {name.replace("__", "."): value for name, value in changes.items()})


@dataclass(frozen=True)
class Overridden:
    """A sweep file, with settings changed by their dotted keys."""

    file: Path
    overrides: Mapping[str, Any]


Source = Path | Overridden | Mapping[str, Any]
"""A sweep file, or the document of a sweep."""


def _checked(source: Source) -> Sweep:
    if isinstance(source, Overridden):
        return sweep.load(source.file, source.overrides)
    return sweep.load(source) if isinstance(source, Path) else sweep.from_document(dict(source))


def keys_of(source: Source, empty: Path, machine: Machine = GOLDEN) -> dict[str, Any]:
    """The sweep's keys as JSON: `facts` by root key, and by trial its root and three of its epochs.

    An epoch has its number, its key, and the learning rates (and momentum) of its first and last step.
    """
    with fixed(machine), _data_by_hand(), hashed_facts() as facts:
        made = plan.make(_checked(source), Store.at(str(empty)))
    trials = {}
    for trial in made.trials:
        cursor = made.cursors[trial.id]
        keys, chain = cursor.foreseen(), cursor.chain
        assert len(keys) == chain.epochs
        numbers = sorted({0, min(1, len(keys) - 1), len(keys) - 1})
        trials[trial.id] = {"root": chain.root, "epochs": [_epoch(chain, n, keys[n]) for n in numbers]}
    return {"facts": {t["root"]: facts[t["root"]] for t in trials.values()}, "trials": trials}


def _epoch(chain: epoch_chain.EpochChain, number: int, key: str) -> dict[str, Any]:
    momentum = chain.momentum_in(number)
    cycled = {} if momentum is None else {"momentum": _ends(momentum)}
    return {"epoch": number, "key": key, "learning_rate": _ends(chain.table[number]), **cycled}


def _ends(row: np.ndarray) -> list[str]:
    return [str(row[0]), str(row[-1])]


def planned(checked: Sweep, results: Path) -> Plan:
    """The sweep held against a store."""
    return plan.make(checked, Store.at(str(results)))


def counts(made: Plan) -> dict[str, Any]:
    """A plan's epochs, and how many are known of each trial."""
    epochs = {name: getattr(made.epochs, name) for name in ("total", "known", "shared", "new")}
    lengths = {t.id: len(made.cursors[t.id].keys) for t in made.trials}
    return {**epochs, "again": made.epochs.recomputed, "trials": lengths}


def run(file: Path, results: Path, *overrides: str, machine: Machine = GOLDEN) -> Outcome:
    """Run the sweep file with `key=value` overrides; histories are merged from COMPACT_ABOVE files on."""
    with fixed(machine):
        checked = sweep.load(file, yaml_document.parse_overrides(overrides))
        return run_sweep(checked, Store.at(str(results), COMPACT_ABOVE), Silent())


def held(results: Path, name: str) -> dict[str, Any]:
    """How much a store holds beside the history of sweep `name`, by kind of file. None may be damaged."""
    opened = Store.at(str(results))
    histories, damaged = opened.read_all()
    curves, damaged_curves = opened.read_range_tests()
    assert damaged + damaged_curves == []
    return {
        "superseded": sum(len(rows) for rows in histories.superseded),
        "merged": (results / name / "history" / f"{store.FINISHED}.parquet").exists(),
        "checkpoints": len(opened.checkpoints.complete()),
        "models": len(opened.models(name)),
        "range_tests": len(curves),
        "failures": opened.failures(name),
        "notes": opened.notes(name),
    }


def known_epochs(results: Path) -> int:
    """How many epochs are on record in a store, in histories that no sweep has any more too."""
    tables = Store.at(str(results)).read_all()[0].everything()
    return len({key for rows in tables for key in rows["epoch_key"].to_pylist()})


def history(results: Path, name: str) -> list[dict[str, Any]]:
    """Every epoch of the sweep, in order, without what depends on when and where it was trained."""
    tables, damaged = Store.at(str(results)).history(name)
    assert damaged == []
    rows = pa.concat_tables(list(tables.values())).drop_columns(list(TIMINGS)).to_pylist()
    return sorted(rows, key=lambda row: (row["trial_id"], row["epoch"]))


def last_states(made: Plan, results: Path) -> dict[str, dict[str, bytes]]:
    """The bytes of each trial's checkpoint after its last epoch."""
    opened = Store.at(str(results))
    states = {t.id: opened.checkpoints.read(made.cursors[t.id].keys[-1]) for t in made.trials}
    return {trial: {name: array.tobytes() for name, array in state.items()} for trial, state in states.items()}


def best_models(results: Path, name: str) -> dict[str, bytes]:
    """The bytes of each trial's best model."""
    return {path.stem: path.read_bytes() for path in sorted((results / name / "models").glob("*.keras"))}
