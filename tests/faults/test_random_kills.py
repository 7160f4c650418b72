"""A hundred deaths over one sweep: drawn in advance and without Ray, and for real, under Ray and at any time."""

import os
import random
import time
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from orchestrator.storage.store import Store
from tests.faults.conftest import calm
from tests.support import engine, processes
from tests.support.deaths import Instants
from tests.support.fakes import VectorTrainer
from tests.support.sweeps import small, written

SWEEP = small(
    schedules={"constant": {}, "late": {"name": "step", "every": 10}, "cosine": {}, "plateau": {"patience": 3}},
    seeds=[0],
    epochs=30,
    data={"name": "digits", "image_size": 32, "limit": 200},
)


def run_until(results: Path, fatal: int) -> None:
    """Run in this process, which dies at the instant `fatal`."""
    Instants(fatal).install()
    engine.run(SWEEP, Store.at(str(results)), workers=3)


def test_a_hundred_deaths_over_one_sweep(memory: Path) -> None:
    results, drawn = memory / "results", random.Random(0)
    deaths = 0
    while engine.in_process(run_until, results, drawn.randrange(20, 120)) == -9:
        deaths += 1
        assert deaths < 500, "no progress is made"
    store = Store.at(str(results))
    assert deaths >= 100
    assert engine.numbers(store) == calm(SWEEP, memory)
    engine.assert_whole(SWEEP, store)


class PatientTrainer(VectorTrainer):
    """Takes half a second an epoch as long as there is a file called patience in $DEATHS."""

    def epoch(self, n: int, learning_rates: npt.NDArray[np.float32]) -> dict[str, float]:
        """Sleep, then train."""
        if (Path(os.environ["DEATHS"]) / "patience").exists():
            time.sleep(0.5)
        return super().epoch(n, learning_rates)


@pytest.mark.heavy
def test_a_hundred_kills_of_workers_and_drivers_under_ray(memory: Path) -> None:
    """Takes half an hour: most deaths cost Ray a new process, every sixth a new session."""
    changes = {
        "trainer": f"{__name__}:PatientTrainer",
        "schedules": {"constant": {}, "late": {"name": "step", "every": 30}, "cosine": {}, "plateau": {}},
        "seeds": list(range(16)),
        "epochs": 60,
        "retries": 1000,
        "data": {"name": "digits", "image_size": 32, "limit": 200},
    }
    results = memory / "results"
    kills = kill_at_random(written(memory, **changes), results, 100)
    print(f"\n{dict(kills)}, {processes.said(results).count('goes on from')} of them seen by a driver")
    store = Store.at(str(results))
    assert engine.numbers(store) == calm(small(**changes), memory)
    engine.assert_whole(small(**changes), store)


def kill_at_random(file: Path, results: Path, count: int) -> Counter[str]:
    """Run the sweep to its end through `count` kills; how often each victim was hit."""
    kills, drawn = Counter[str](), random.Random(1)
    patience = Path(os.environ["DEATHS"]) / "patience"
    patience.touch()
    run = processes.start(file, results)
    try:
        while kills.total() < count:
            time.sleep(drawn.uniform(0.1, 2.0))
            assert run.poll() is None, processes.said(results)[-3000:]
            alive = processes.workers(run.pid)
            if not alive:
                continue
            victim = drawn.choices(("worker", "driver", "everything"), (84, 11, 5))[0]
            if victim == "worker":
                processes.kill([drawn.choice(alive)])
            elif victim == "driver":
                processes.kill([run.pid])
                run.wait()
            else:
                processes.kill_all(run)
            kills[victim] += 1
            if victim != "worker":
                run = processes.start(file, results)
        patience.unlink()
        assert run.wait() == 0, processes.said(results)[-3000:]
    finally:
        patience.unlink(missing_ok=True)
        processes.kill_all(run)
    return kills
