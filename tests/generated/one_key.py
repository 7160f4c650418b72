"""One key, one result: small jobs trained in several ways, each epoch under the key that the real plan gives it.

`trained` has them trained by real workers (`WorkerTrainable`, without Ray) into real stores; `require_one_result`
holds all that came out under one key against each other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from pprint import pformat
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments import callbacks
from experiments.lr_range_test import RangeTest
from orchestrator.execution.range_tests import measure_range
from orchestrator.execution.trainable import WorkerTrainable
from orchestrator.execution.trial import RunContext, TrialAssignment
from orchestrator.planning import plan
from orchestrator.spec import sweep
from orchestrator.spec.trials import located
from orchestrator.storage.history import Row
from orchestrator.storage.store import Store

Document = Mapping[str, Any]
MEASURED = (*callbacks.METRICS, *callbacks.TEST_METRICS)
State = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Turn:
    """Epochs `start` .. `stop` of job number `job`, in the process that takes this turn.

    Where the process has not trained the job up to `start` itself, it goes on from what the straight run left, as
    a fresh worker does. `stop` None is the job's end. `ramp` is a range test before that.
    """

    job: int
    start: int = 0
    stop: int | None = None
    ramp: bool = False


@dataclass(frozen=True)
class Planned:
    """A job as the plan has it; `name` is its sweep's."""

    name: str
    trainer: str
    save_best: bool
    assignment: TrialAssignment


class RefusedError(Exception):
    """A worker trains nothing, and says why."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave in one process: its metrics by name, and the store that has its state (None: lost)."""

    key: str
    job: int
    number: int
    process: str
    turn: int
    metrics: Mapping[str, float]
    store: Path


def planned(documents: Sequence[Document]) -> list[Planned]:
    """Each document's only trial, through the door that every sweep file takes. Raises InputError."""
    result = []
    with TemporaryDirectory() as folder:
        empty = Store.at(folder)
        for number, document in enumerate(documents):
            checked = sweep.from_document({**document, "name": f"job-{number}"})
            made = plan.make(checked, empty)
            (trial,) = made.trials
            assignment = TrialAssignment(
                replace(trial, recipe=located(trial.recipe)),
                made.cursors[trial.id].chain,
                made.root_facts.description(trial.recipe).fingerprint,
                made.root_facts.conditions(trial.recipe),
            )
            result.append(Planned(checked.name, checked.trainer, checked.save_best, assignment))
    return result


class Process:
    """One worker process, whose trainer stays warm, with a store for each job."""

    def __init__(self, name: str, jobs: Sequence[Planned], folder: Path, straight: Path | None = None) -> None:
        self._name, self._jobs, self._folder, self._straight = name, jobs, folder / name, straight
        self._turns = 0

    def take(self, turn: Turn) -> list[Epoch]:
        """Train what `turn` says; what its epochs gave. Raises RefusedError."""
        job, folder = self._jobs[turn.job], self._folder / str(turn.job)
        if turn.ramp:
            self._measure_range(job)
        worker = WorkerTrainable.__new__(
            WorkerTrainable
        )  # Ray's part of it keeps files and asks for a Ray session
        trial = job.assignment.trial.id
        worker.setup({"trial_id": trial, "attempt": 0}, self._told(turn, Store.at(str(folder))))
        epochs: list[Epoch] = []
        done, trained = False, turn.start
        while not done and (turn.stop is None or trained < turn.stop):
            result = worker.step()
            if "failed" in result:
                raise RefusedError(result["failed"])
            done = result["done"]
            if result["row"] is not None:
                epochs.append(self._epoch(turn.job, result["row"], folder))
                trained += 1
        self._turns += 1
        return epochs

    def _measure_range(self, job: Planned) -> None:
        trial, conditions = job.assignment.trial, job.assignment.conditions
        assert conditions is not None
        rates = RangeTest(start=1e-4, end=1.0, steps=20).learning_rates()
        measure_range(trial.recipe, trial.seed, job.assignment.fingerprint, rates, job.trainer, {}, conditions)

    def _told(self, turn: Turn, store: Store) -> RunContext:
        job = self._jobs[turn.job]
        store.create()
        trial = job.assignment.trial.id
        store.write_run(job.name, {"run": self._name, "running": {}, "attempts": {trial: 0}, "since": 0.0})
        if turn.start and not store.read_trial(job.name, trial):
            assert self._straight is not None
            left = Store.at(str(self._straight / str(turn.job)))
            rows = left.read_trial(job.name, trial)[: turn.start]
            store.write_history(job.name, trial, rows)
            for key in {row["epoch_key"] for row in rows} & left.checkpoints.complete():
                store.checkpoints.write(key, left.checkpoints.read(key))
        return RunContext(
            run=self._name,
            sweep=job.name,
            results=store.address,
            trainer=job.trainer,
            save_best=job.save_best,
            assignments={trial: job.assignment},
            software={},
        )

    def _epoch(self, job: int, row: Row, folder: Path) -> Epoch:
        metrics = {name: row[name] for name in MEASURED}
        return Epoch(row["epoch_key"], job, row["epoch"], self._name, self._turns, metrics, folder)


def trained(
    name: str, jobs: Sequence[Planned], turns: Iterable[Turn], folder: Path, straight: Path | None = None
) -> list[Epoch]:
    """What a fresh process called `name`, this one, gives when it takes `turns` one after the other.

    Its stores are in `folder`; `straight` has those of the run that later turns may go on from.
    """
    process = Process(name, jobs, folder, straight)
    return [epoch for turn in turns for epoch in process.take(turn)]


def difference(one: Epoch, other: Epoch) -> str | None:
    """The first value in which two epochs differ, in words; None where all bits are the same."""
    for name in MEASURED:
        a, b = one.metrics[name], other.metrics[name]
        if np.float64(a).tobytes() != np.float64(b).tobytes():
            return f"{name}: {a!r} and {b!r}"
    return first_difference(*(_state(epoch) for epoch in (one, other)))


def first_difference(one: State, other: State) -> str | None:
    """The first value in which two states differ, in words; None where names, types and bits are the same."""
    if one.keys() != other.keys():
        return f"names: only one of them has {sorted(one.keys() ^ other.keys())[:4]}"
    for name, a in one.items():
        b = other[name]
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return f"{name}: {a.dtype} {a.shape} and {b.dtype} {b.shape}"
        if a.tobytes() != b.tobytes():
            bits = (np.frombuffer(array.tobytes(), np.uint8).reshape(a.size, -1) for array in (a, b))
            place = int(np.argmax(np.any(np.not_equal(*bits), axis=1)))
            return f"{name}[{place} of {a.size}]: {a.flat[place]!r} and {b.flat[place]!r}"
    return None


def _state(epoch: Epoch) -> State:
    store = Store.at(str(epoch.store))
    return store.checkpoints.read(epoch.key) if epoch.key in store.checkpoints.complete() else {}


def require_one_result(
    epochs: Iterable[Epoch], documents: Sequence[Document], orders: Mapping[str, Sequence[Turn]]
) -> int:
    """Raise AssertionError where two epochs have one key and not the same bits; how many pairs were compared.

    The message has the documents, what each process had trained before, and the first differing value.
    """
    first: dict[str, Epoch] = {}
    compared = 0
    for epoch in epochs:
        known = first.setdefault(epoch.key, epoch)
        if known is epoch:
            continue
        compared += 1
        what = difference(known, epoch)
        if what is not None:
            texts = [_told(e, documents, orders) for e in (known, epoch)]
            raise AssertionError(f"one key, two results: {epoch.key}\n{what}\n\n{texts[0]}\n\n{texts[1]}")
    return compared


def _told(epoch: Epoch, documents: Sequence[Document], orders: Mapping[str, Sequence[Turn]]) -> str:
    turns = orders[epoch.process][: epoch.turn + 1]
    lines = [f"epoch {epoch.number} of job {epoch.job} in the process {epoch.process!r}, whose turns were"]
    lines += [f"  {turn}" for turn in turns]
    lines += [
        f"job {number}:\n{pformat(dict(documents[number]), width=110)}"
        for number in dict.fromkeys([epoch.job, *(turn.job for turn in turns)])
    ]
    return "\n".join(lines)
