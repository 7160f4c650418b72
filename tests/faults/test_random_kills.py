"""A hundred deaths over one sweep: drawn in advance and without Ray, and for real, under Ray and at any time."""

import random
import time
from pathlib import Path

import pytest

from orchestrator.store import Store
from tests.conftest import small
from tests.faults import engine, processes
from tests.faults.conftest import calm
from tests.faults.deaths import Instants
from tests.test_cli import written

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
    store = Store.at(str(results))
    assert deaths >= 100
    assert engine.numbers(store) == calm(SWEEP, memory)
    engine.assert_whole(SWEEP, store)


@pytest.mark.heavy
def test_a_hundred_kills_of_workers_and_drivers_under_ray(memory: Path) -> None:
    """Takes a quarter of an hour: every death costs Ray a new process, every fifth a new session."""
    changes = {
        "trainer": "tests.fakes:SlowTrainer",
        "schedules": {
            "constant": {},
            "late": {"name": "step", "every": 30},
            "cosine": {},
            "plateau": {"patience": 9},
        },
        "seeds": list(range(12)),
        "epochs": 60,
        "retries": 1000,
        "data": {"name": "digits", "image_size": 32, "limit": 200},
    }
    results, drawn = memory / "results", random.Random(1)
    file = written(memory, **changes)
    kills = {"worker": 0, "driver": 0, "everything": 0}
    run = processes.start(file, results)
    while sum(kills.values()) < 100:
        time.sleep(drawn.uniform(0.5, 4.0))
        assert run.poll() is None, "the sweep is too short"
        alive = processes.workers(run.pid)
        victim = drawn.choices(list(kills), (80, 15, 5))[0]
        if victim == "worker" and alive:
            processes.kill([drawn.choice(alive)])
        elif victim == "driver" and alive:
            processes.kill([run.pid])
            run.wait()
        elif victim == "everything" and alive:
            processes.kill_all(run)
        else:
            continue
        kills[victim] += 1
        if run.poll() is not None:
            run = processes.start(file, results)
    assert run.wait() == 0
    store = Store.at(str(results))
    print(f"\n{kills}, said:\n{results.with_suffix('.said').read_text()[-2000:]}")
    assert engine.numbers(store) == calm(small(**changes), memory)
    engine.assert_whole(small(**changes), store)
