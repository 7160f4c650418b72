"""Sweeps that are run at once in one results folder: no epoch is trained twice, and nobody loses anything."""

import hashlib
import os
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from orchestrator.planning import plan
from orchestrator.spec.sweep import Sweep
from orchestrator.storage.store import Store
from tests.faults.conftest import calm
from tests.support import engine, processes
from tests.support.fakes import VectorTrainer
from tests.support.sweeps import small, written

SCHEDULES = {
    "constant": {},
    "step": {"every": 3, "factor": 0.5},
    "late": {"name": "step", "every": 6},
    "plateau": {"monitor": "val_accuracy", "patience": 2, "min_delta": 9, "factor": 0.5},
}
"""The plateau steps down as the step does, but nobody knows that before."""


class LoggingTrainer(VectorTrainer):
    """Takes a while for an epoch, and leaves a line in $TRAINED for each that it has trained: its result."""

    def epoch(self, n: int, learning_rates: npt.NDArray[np.float32]) -> dict[str, float]:
        """Train, sleep, leave a line."""
        assert self.job is not None
        metrics = super().epoch(n, learning_rates)
        time.sleep(float(os.environ.get("PACE", "0.05")))
        with open(os.environ["TRAINED"], "a") as file:
            result = hashlib.sha256(learning_rates.tobytes() + self.weights.tobytes()).hexdigest()
            file.write(f"{self.job.optimizer.class_name} {self.job.seed} {n} {result}\n")
        return metrics


def named(name: str, **changes: object) -> Sweep:
    """A sweep with trunks and branches."""
    document = {
        "name": name,
        "optimizers": {"sgd": {"class": "SGD"}},
        "schedules": SCHEDULES,
        "epochs": 8,
        "seeds": [0, 1],
        "trainer": f"{__name__}:LoggingTrainer",
    }
    return small(**{**document, **changes})


def run(sweep: Sweep, results: Path, workers: int, pause: float) -> None:
    """Run the sweep in this process; it looks at the others more often than people would want it to."""
    os.environ["TRAINED"] = str(results.with_name("trained"))
    time.sleep(pause)
    engine.run(sweep, Store.at(str(results)), workers=workers, look_every=0.1)


def together(results: Path, sweeps: list[Sweep], workers: int = 2, pause: float = 0.3) -> list[BaseProcess]:
    """Start a process for each sweep, one after another."""
    processes = [
        engine.PROCESSES.Process(target=run, args=(sweep, results, workers, number * pause))
        for number, sweep in enumerate(sweeps)
    ]
    for process in processes:
        process.start()
    return processes


def trained(results: Path) -> Counter[str]:
    """How often each epoch was trained."""
    return Counter(results.with_name("trained").read_text().splitlines())


def assert_together(results: Path, sweeps: list[Sweep], processes: list[BaseProcess], memory: Path) -> None:
    """All came to their ends with the numbers of calm runs, and no epoch was trained twice."""
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * len(sweeps)
    assert [line for line, count in trained(results).items() if count > 1] == []
    store = Store.at(str(results))
    engine.assert_whole(sweeps[0], store, *sweeps[1:])
    os.environ["TRAINED"] = str(memory / "calmly")
    for sweep in sweeps:
        os.environ["PACE"] = "0"
        try:
            assert engine.numbers(store, sweep.name) == calm(sweep, memory / sweep.name)
        finally:
            del os.environ["PACE"]


@pytest.mark.parametrize("pause", [0.0, 0.4])
def test_the_same_epochs_are_trained_by_one_of_them(memory: Path, pause: float) -> None:
    sweeps = [named("first"), named("second"), named("third", seeds=[1, 2])]
    processes = together(memory / "results", sweeps, pause=pause)
    assert_together(memory / "results", sweeps, processes, memory)


def test_the_one_that_needs_less_keeps_its_checkpoints_while_the_other_goes_on(memory: Path) -> None:
    short = {"constant": {}, "late": {"name": "step", "every": 9}}
    sweeps = [
        named("long", schedules={"constant": {}}, epochs=16),
        named("short", schedules=short, epochs=11, monitor="loss"),
    ]
    processes = together(memory / "results", sweeps, workers=1)
    assert_together(memory / "results", sweeps, processes, memory)


def test_whoever_keeps_all_checkpoints_has_all_of_them(memory: Path) -> None:
    one = {"constant": {}}
    sweeps = [
        named("all", checkpoints="all", schedules=one, seeds=[1, 0]),  # it comes to seed 0 when that is done
        named("frugal", schedules=one, seeds=[0]),
    ]
    processes = together(memory / "results", sweeps, workers=1)
    for process in processes:
        process.join(120)
    assert [line for line, count in trained(memory / "results").items() if count > 1] == []
    store = Store.at(str(memory / "results"))
    keys = {key for cursor in plan.make(sweeps[0], store).cursors.values() for key in cursor.keys}
    assert keys <= store.checkpoints.complete()


def test_when_one_dies_the_other_takes_over(memory: Path) -> None:
    results = memory / "results"
    sweeps = [named("dying"), named("living")]
    dying, living = together(results, sweeps)
    while not results.with_name("trained").exists() or len(trained(results)) < 6:
        time.sleep(0.02)
    dying.kill()
    living.join(120)
    again = together(results, sweeps[:1])
    again[0].join(120)
    assert (living.exitcode, again[0].exitcode) == (0, 0)
    counts = trained(results)
    assert sum(count - 1 for count in counts.values()) <= 2  # what its workers had in hand
    engine.assert_whole(sweeps[0], Store.at(str(results)), sweeps[1])


def test_two_commands_beside_each_other_train_every_epoch_once(memory: Path) -> None:
    results = memory / "results"
    os.environ |= {"TRAINED": str(memory / "trained"), "PACE": "0.3"}
    sweeps = [named("first", seeds=[0], epochs=6), named("second", seeds=[0], epochs=6, save_best=False)]
    files = []
    for sweep in sweeps:
        (memory / sweep.name).mkdir()
        files.append(written(memory / sweep.name, **sweep.document))
    runs = [processes.start(file, results) for file in files]
    try:
        assert [run.wait(300) for run in runs] == [0, 0], processes.said(results)[-3000:]
    finally:
        for run in runs:
            if run.poll() is None:
                processes.kill_all(run)
        del os.environ["TRAINED"], os.environ["PACE"]
    assert [line for line, count in trained(results).items() if count > 1] == []
    store = Store.at(str(results))
    assert [plan.make(sweep, store).unfinished for sweep in sweeps] == [(), ()]
    engine.assert_whole(sweeps[0], store)
