"""What four training lengths of one trunk cost against separate runs, really trained: `pytest -m benchmark -s`."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.spec.sweep import DEFAULT_TRAINER
from orchestrator.storage.store import Store
from tests.support import engine
from tests.support.sweeps import small

LENGTHS = (2, 4, 8, 16)
"""10, 20, 40 and 80 epochs, each a fifth of it."""
CHANGES: dict[str, Any] = {
    "data": {"name": "digits", "image_size": 32, "limit": 400},
    "optimizers": {"momentum": {"class": "SGD", "learning_rate": 0.01, "momentum": 0.9}},
    "schedules": {
        "constant": {},
        "decay": {"name": "warm-up-stable-decay", "warmup_epochs": 0.5, "decay_fraction": 0.25},
    },
    "seeds": [0],
    "trainer": DEFAULT_TRAINER,
}


def train(results: Path, epochs: Any, share: bool) -> None:
    """Run the sweep with these lengths."""
    engine.run(small(**CHANGES, epochs=epochs), Store.at(str(results)), share=share)


@pytest.mark.benchmark
def test_four_lengths_by_one_trunk(tmp_path: Path) -> None:
    folders = {length: tmp_path / str(length) for length in LENGTHS}
    assert engine.in_process(train, tmp_path / "together", list(LENGTHS), True, minutes=10) == 0
    for length, folder in folders.items():
        assert engine.in_process(train, folder, length, False, minutes=10) == 0
    store = Store.at(str(tmp_path / "together"))
    rows = engine.numbers(store)
    for length, folder in folders.items():
        for row in engine.numbers(Store.at(str(folder))):
            name = row["trial_id"].replace("-s0", f"-epochs={length}-s0")
            assert {**row, "trial_id": name} in rows
    trained = len({row["epoch_key"] for row in rows})
    separate = 2 * sum(LENGTHS)
    assert len(rows) == separate
    print(f"\n{trained} epochs trained by one trunk, {separate} in separate runs: {trained / separate:.2f}")
    assert trained / separate <= 0.65
