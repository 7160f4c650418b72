"""How much faster a grid is whose trials share 45 % of their epochs: `pytest -m benchmark -s`."""

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from orchestrator.planning import plan
from orchestrator.storage.store import Store
from tests.support import engine, processes
from tests.support.fakes import VectorTrainer
from tests.support.sweeps import small, written

EPOCH = 0.5
"""Seconds. Ray's start-up, which counts, is then a tenth of the time, as in a small sweep."""
CHANGES = {
    "schedules": {
        "constant": {},
        "early": {"name": "step", "every": 16},
        "middle": {"name": "step", "every": 24},
        "late": {"name": "step", "every": 32},
    },
    "epochs": 40,
    "trainer": "tests.benchmarks.test_sharing:PacedTrainer",
}


class PacedTrainer(VectorTrainer):
    """Takes its time."""

    def epoch(self, n: int, learning_rates: npt.NDArray[np.float32]) -> dict[str, float]:
        """Sleep, then train."""
        time.sleep(EPOCH)
        return super().epoch(n, learning_rates)


@pytest.mark.benchmark
def test_a_grid_that_shares_45_percent_of_its_epochs(tmp_path: Path) -> None:
    file = written(tmp_path, **CHANGES)
    seconds = {}
    for name, options in {"alone": ("--no-share",), "shared": ()}.items():
        began = time.perf_counter()
        assert processes.start(file, tmp_path / name, *options).wait() == 0
        seconds[name] = time.perf_counter() - began
    alone, shared = (Store.at(str(tmp_path / name)) for name in ("alone", "shared"))
    assert engine.numbers(alone) == engine.numbers(shared)
    epochs = plan.make(small(**CHANGES), Store.at(str(tmp_path / "none"))).epochs
    ratio = seconds["alone"] / seconds["shared"]
    print(
        f"\n{epochs.shared / epochs.total:.0%} of {epochs.total} epochs shared: alone {seconds['alone']:.1f} s, "
        f"shared {seconds['shared']:.1f} s, {ratio:.2f} times faster"
    )
    assert epochs.shared / epochs.total == 0.45
    assert ratio > 1.6
