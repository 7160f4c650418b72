"""The store: what is written is read back, or refused."""

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from orchestrator import records
from orchestrator.files import DamagedError, HeldError, LocalFiles, StoreError
from orchestrator.store import COMPACT_ABOVE, Store


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


def test_a_history_comes_back_as_written_and_opens_as_plain_parquet(store: Store) -> None:
    rows = [row("a", 0), row("a", 1, loss=float("nan"))]
    store.write_history("s", "a", rows)
    back = store.read_trial("s", "a")
    assert math.isnan(back[1]["loss"])
    assert [{**r, "loss": 0} for r in back] == [{**r, "loss": 0} for r in rows]
    assert isinstance(store.files, LocalFiles)
    assert pq.read_table(store.files.path("s/history/a.parquet")).num_rows == 2


def test_a_trial_without_history_has_none(store: Store) -> None:
    assert store.read_trial("s", "a") == []
    assert store.history("s") == ({}, [])


def test_checkpoints_come_back_as_written(store: Store) -> None:
    state = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(7)}
    written = store.write_checkpoint("ab" * 32, state)
    back = store.read_checkpoint("ab" * 32)
    assert {k: (v.dtype, v.tolist()) for k, v in back.items()} == {
        k: (v.dtype, v.tolist()) for k, v in state.items()
    }
    assert store.checkpoints() == {"ab" * 32}
    assert store.delete_checkpoint("ab" * 32) == written
    assert store.checkpoints() == set()
    with pytest.raises(FileNotFoundError):
        store.read_checkpoint("ab" * 32)


def test_a_checkpoint_without_its_manifest_is_absent_and_cleared_away(store: Store) -> None:
    store.write_checkpoint("ab" * 32, {"w": np.zeros(3)})
    store.files.delete(f"checkpoints/{'ab' * 32}.json")
    assert store.checkpoints() == set()
    store.delete_leftovers()
    assert store.files.names("checkpoints") == []


def test_many_finished_histories_become_one_file_and_read_the_same(store: Store) -> None:
    count = COMPACT_ABOVE + 3
    for number in range(count):
        store.write_history("s", f"t{number}", [row(f"t{number}", 0), row(f"t{number}", 1)])
    before, _ = store.history("s")
    store.compact("s", {f"t{n}" for n in range(count - 1)})
    assert store.files.names("s/history") == ["_finished.parquet", f"t{count - 1}.parquet"]
    after, _ = store.history("s")
    assert {t: rows.to_pylist() for t, rows in after.items()} == {t: r.to_pylist() for t, r in before.items()}

    store.write_history("s", "t0", [row("t0", 0), row("t0", 1), row("t0", 2)])
    assert len(store.history("s")[0]["t0"]) == 3
    store.compact("s", {f"t{n}" for n in range(count)})
    assert store.files.names("s/history") == ["_finished.parquet"]
    assert len(store.history("s")[0]["t0"]) == 3


def test_superseded_epochs_stay_known_but_leave_the_sweep(store: Store) -> None:
    store.write_history("s", "a", [row("a", 0, "k0"), row("a", 1, "k1")])
    store.supersede("s", "a", store.history("s")[0]["a"])
    assert store.history("s") == ({}, [])
    known = records.Known(store.read_all()[0].everything())
    assert known.row("k1")["epoch"] == 1


def test_a_trained_row_is_preferred_over_a_taken_one(store: Store) -> None:
    store.write_history("s", "a", [row("a", 0, "k", reused=True)])
    store.write_history("s", "b", [row("b", 0, "k")])
    known = records.Known(store.read_all()[0].everything())
    assert len(known) == 1
    assert known.row("k")["trial_id"] == "b"


def test_one_process_at_a_time_holds_a_sweep(store: Store) -> None:
    with store.lock("s"):
        assert store.held("s")
        with pytest.raises(HeldError, match=r"run by process \d+ on"), Store(store.files).lock("s"):
            pass
    assert not store.held("s")
    with store.lock("s"):
        pass


def test_another_format_is_refused(store: Store) -> None:
    store.create()
    Store(store.files)
    store.files.write("format.json", b'{"format": 99}')
    with pytest.raises(DamagedError, match="written in format 99"):
        Store(store.files)


def test_a_failed_write_leaves_the_old_file_and_no_temporary(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.files.write("s/x", b"old")
    (store.files.path("s") / "folder").mkdir()  # type: ignore[attr-defined]
    with pytest.raises(StoreError, match=r"folder: cannot be written .*; make room"):
        store.files.write("s/folder", b"new")
    assert store.files.read("s/x") == b"old"
    assert store.files.temporaries() == []


def test_failures_and_notes_are_kept_until_cleared(store: Store) -> None:
    store.write_failure("s", "a", "no luck")
    store.write_note("s", "b", "look here")
    assert (store.failures("s"), store.notes("s")) == ({"a": "no luck"}, {"b": "look here"})
    store.clear_failure("s", "a")
    store.clear_failure("s", "a")
    assert store.failures("s") == {}


def test_a_superseded_trial_does_not_come_back_from_a_merged_file(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.store.COMPACT_ABOVE", 2)
    for trial_id in ("a", "b"):
        store.write_history("s", trial_id, [row(trial_id, 0)])
    store.compact("s", {"a", "b"})
    assert store.files.names("s/history") == ["_finished.parquet"]
    store.supersede("s", "a", store.history("s")[0]["a"])
    assert store.history("s")[0].keys() == {"b"}
    store.compact("s", {"b"})
    assert store.files.names("s/history") == ["_finished.parquet"]
    assert store.history("s")[0].keys() == {"b"}
    assert "a:0" in records.Known(store.read_all()[0].everything())


def test_merging_keeps_the_rows_of_trials_that_are_not_finished(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.store.COMPACT_ABOVE", 2)
    for trial_id in ("a", "b"):
        store.write_history("s", trial_id, [row(trial_id, 0)])
    store.compact("s", {"a", "b"})
    store.write_history("s", "c", [row("c", 0)])
    store.compact("s", {"c"})
    assert store.history("s")[0].keys() == {"a", "b", "c"}


def test_a_model_that_was_changed_is_noticed_and_one_that_was_deleted_is_absent(store: Store) -> None:
    store.write_model("s", "a", b"weights", row("a", 0, "k"))
    assert store.read_models("s") == ({"a": "k"}, [])
    store.files.write("s/models/a.keras", b"weighty")
    models, damaged = store.read_models("s")
    assert (models, [d.name for d in damaged]) == ({}, ["s/models/a.keras"])
    assert not store.has_model("s", "a", "k")
    store.files.delete("s/models/a.keras")
    assert store.read_models("s") == ({}, [])
