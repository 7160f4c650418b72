"""The store on a local folder; what it promises everywhere is in contract/test_every_store.py."""

from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator import records
from orchestrator.files import StoreError
from orchestrator.store import Store


def row(trial_id: str, epoch: int, key: str | None = None, **changes: Any) -> records.Row:
    return {
        "sweep": "s",
        "trial_id": trial_id,
        "optimizer": "sgd",
        "schedule": "constant",
        "seed": 0,
        "epoch": epoch,
        "loss": 1.5 / (epoch + 1),
        "accuracy": 0.1,
        "val_loss": 0.7,
        "val_accuracy": 0.25,
        "learning_rate": 0.1,
        "learning_rate_end": 0.01,
        "seconds": 0.5,
        "images_per_second": 200.0,
        "epoch_key": key or f"{trial_id}:{epoch}",
        "reused": False,
        "host": "here",
        "device": "cpu",
        "started_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        **changes,
    }


def test_a_failed_write_leaves_the_old_file_and_no_temporary(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.files.write("s/x", b"old")
    (store.files.path("s") / "folder").mkdir()  # type: ignore[attr-defined]
    with pytest.raises(StoreError, match=r"folder: cannot be written .*; make room"):
        store.files.write("s/folder", b"new")
    assert store.files.read("s/x") == b"old"
    assert store.files.temporaries() == []
