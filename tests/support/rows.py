"""Rows of a history."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from orchestrator.planning.epoch_chain import ChainCursor
from orchestrator.planning.plan import Plan
from orchestrator.spec.trials import Trial
from orchestrator.storage import history
from orchestrator.storage.history import Row


def row(trial_id: str, epoch: int, key: str | None = None, **changes: Any) -> history.Row:
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
        "test_loss": None,
        "test_accuracy": None,
        **changes,
    }


def copies(planned: Plan) -> dict[str, ChainCursor]:
    """Copies of a plan's cursors, which may advance."""
    return {trial_id: cursor.copy() for trial_id, cursor in planned.cursors.items()}


def trained(cursors: Mapping[str, ChainCursor], trial: Trial, accuracy: float = 0.5) -> Row:
    """The record of the trial's next epoch."""
    cursor = cursors[trial.id]
    number = len(cursor.keys)
    return row(trial.id, number, cursor.next_key, val_accuracy=accuracy)
