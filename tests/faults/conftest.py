"""What the faults share: stores in memory, because every write is synced, and a calm run to compare with."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.spec.sweep import Sweep
from orchestrator.storage.store import Store
from tests.support import engine
from tests.support.sweeps import small

MEMORY = Path("/dev/shm")


@pytest.fixture
def memory() -> Iterator[Path]:
    """An empty folder in memory, where there is such a thing."""
    folder = tempfile.mkdtemp(dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
    yield Path(folder)
    shutil.rmtree(folder)


def forked(**changes: Any) -> Sweep:
    """Three trials of one trunk: constant, one that leaves it after an epoch, one that a plateau steers."""
    document = {
        "optimizers": {"sgd": {"class": "SGD"}},
        "schedules": {
            "constant": {},
            "step": {"every": 1},
            "plateau": {"monitor": "val_accuracy", "patience": 1, "min_delta": 9},
        },
        "seeds": [0],
        "epochs": 3,
    }
    return small(**{**document, **changes})


def calm(sweep: Sweep, folder: Path) -> list[dict[str, Any]]:
    """The numbers of a run that nothing disturbs."""
    store = Store.at(str(folder / "calm"))
    engine.run(sweep, store)
    return engine.numbers(store, sweep.name)
