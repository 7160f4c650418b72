"""TensorBoard event files of a run."""

import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from orchestrator.console.tensorboard import EventFiles
from orchestrator.planning import plan
from orchestrator.storage.store import Store
from tests.support.rows import copies, trained
from tests.support.silent import Silent
from tests.support.sweeps import small


def scalars(folder: Path) -> list[tuple[str, int, float]]:
    """Tag, step and value of everything in the one event file of a folder."""
    (path,) = folder.glob("events.*")
    content, values, position = path.read_bytes(), [], 0
    while position < len(content):
        (length,) = struct.unpack_from("<Q", content, position)
        event = Event.FromString(content[position + 12 : position + 12 + length])
        values += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        position += 16 + length
    return values


def test_every_known_epoch_is_written_once(store: Store, tmp_path: Path) -> None:
    sweep_plan = plan.make(small(), store)
    trial, listener = sweep_plan.trials[0], Silent()
    files, cursors = EventFiles(tmp_path / "events", listener), copies(sweep_plan)
    files.began(sweep_plan, cursors)
    cursor = cursors[trial.id]
    files.started(trial)
    for accuracy in (0.25, 0.5):
        row = trained(cursors, trial, accuracy)
        cursor.append(row["epoch_key"], {m: row[m] for m in ("loss", "accuracy", "val_loss", "val_accuracy")})
        files.epoch(trial, row)
    files.ended(trial, "completed", "")
    values = scalars(tmp_path / "events" / trial.id)
    assert [(step, value) for tag, step, value in values if tag == "val_accuracy"] == [(0, 0.25), (1, 0.5)]
    assert [value for tag, _, value in values if tag == "learning_rate"] == pytest.approx([0.01, 0.01])
    assert len(values) == 2 * 5
    assert listener.endings == {trial.id: "completed"}


def test_a_folder_that_cannot_be_written_is_said_once_and_ends_nothing(store: Store, tmp_path: Path) -> None:
    sweep_plan = plan.make(small(), store)
    listener = Silent()
    files, cursors = EventFiles(tmp_path / "events", listener), copies(sweep_plan)
    files.began(sweep_plan, cursors)
    (tmp_path / "events").mkdir()
    for trial in sweep_plan.trials[:2]:
        (tmp_path / "events" / trial.id).touch()
        row = trained(cursors, trial, 0.5)
        metrics = {m: row[m] for m in ("loss", "accuracy", "val_loss", "val_accuracy")}
        cursors[trial.id].append(row["epoch_key"], metrics)
        files.epoch(trial, row)
        files.ended(trial, "completed", "")
    assert listener.messages == [
        f"--tensorboard {tmp_path}/events: cannot be written (Not a directory); no more event files in this run"
    ]
    assert set(listener.endings.values()) == {"completed"}
