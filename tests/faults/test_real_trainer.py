"""The real trainer, under Ray: the plug is pulled, the next run ends where a calm one does, to the bit.

Its three processes import TensorFlow, which takes most of the time; two of them at once.
"""

import time
from pathlib import Path

import pyarrow.compute as pc

from orchestrator.storage.store import Store
from tests.faults.conftest import calm
from tests.support import engine, processes
from tests.support.sweeps import small, written

SETTINGS = {
    "optimizers": {
        "momentum": {"class": "SGD", "learning_rate": 0.01, "momentum": 0.9},
        "adam": {"class": "Adam"},
    },
    "schedules": {"constant": {}},
    "seeds": [0],
    "epochs": 3,
    "trainer": "experiments.trainer:Trainer",
}


def test_the_plug_is_pulled(memory: Path) -> None:
    results = memory / "results"
    file = written(memory, **SETTINGS)
    store = Store.at(str(results))
    run = processes.start(file, results)
    undisturbed = engine.PROCESSES.Process(target=calm, args=(small(**SETTINGS), memory))
    undisturbed.start()
    until = time.monotonic() + 120
    while not store.files.names("small/history"):
        assert run.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    processes.kill_all(run)
    known = sum(len(rows) for rows in store.history("small")[0].values())
    assert 1 <= known < 6
    undisturbed.join()
    assert processes.start(file, results).wait() == 0
    expected = engine.numbers(Store.at(str(memory / "calm")))
    assert len(expected) == 6
    assert engine.numbers(store) == expected
    engine.assert_whole(small(**SETTINGS), store)
    assert not any(pc.any(rows["reused"]).as_py() for rows in store.history("small")[0].values())
