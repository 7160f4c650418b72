"""The store on a local folder; what it promises everywhere is in contract/test_every_store.py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.storage import history
from orchestrator.storage.filesystem import LocalFiles, StoreError
from orchestrator.storage.store import Store
from tests.support.rows import row


def test_a_failed_write_leaves_the_old_file_and_no_temporary(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.files.write("s/x", b"old")
    (store.files.path("s") / "folder").mkdir()  # type: ignore[attr-defined]
    with pytest.raises(StoreError, match=r"folder: cannot be written .*; make room"):
        store.files.write("s/folder", b"new")
    assert store.files.read("s/x") == b"old"
    assert store.files.temporaries() == []


class ChangingFiles(LocalFiles):
    """Local files in which something happens right after the first call of a method."""

    def __init__(self, root: str, method: str, change: Callable[[], None]) -> None:
        super().__init__(Path(root))
        original = getattr(self, method)

        def changing(*arguments: Any) -> Any:
            result = original(*arguments)
            delattr(self, method)
            change()
            return result

        setattr(self, method, changing)


def test_a_reader_sees_every_trial_while_histories_are_merged(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path), compact_above=2)
    for trial_id in ("a", "b", "c"):
        store.write_history("s", trial_id, [row(trial_id, 0)])
    reader = Store(ChangingFiles(str(store), "versions", lambda: store.compact("s", {"a", "b"})))
    assert reader.history("s")[0].keys() == {"a", "b", "c"}
    assert store.files.names("s/history") == ["_finished.parquet", "c.parquet"]


def test_a_reader_sees_every_epoch_while_a_trial_is_superseded(store: Store) -> None:
    store.write_history("s", "a", [row("a", 0)])
    rows = store.history("s")[0]["a"]
    reader = Store(ChangingFiles(str(store), "versions", lambda: store.supersede("s", "a", rows)))
    histories, damaged = reader.read_all()
    assert damaged == []
    assert "a:0" in history.EpochIndex(histories.everything())


def test_a_model_that_goes_while_it_is_looked_at_is_absent(store: Store) -> None:
    store.write_model("s", "a", b"weights", row("a", 0))
    store.files.write("s/models/a.keras", b"weighty")
    reader = Store(ChangingFiles(str(store), "modified", lambda: store.files.delete("s/models/a.keras")))
    assert reader.read_models("s") == ({}, [])


@pytest.mark.parametrize("half", ["json", "safetensors"])
def test_half_a_checkpoint_is_none_and_is_freed_with_the_leftovers(store: Store, half: str) -> None:
    for key in ("whole", "torn"):
        store.checkpoints.write(key, {"weights": np.zeros(2, np.float32)})
    store.files.delete(f"checkpoints/torn.{half}")
    assert store.checkpoints.complete() == {"whole"}
    store.delete_leftovers()
    assert store.files.names("checkpoints") == ["whole.json", "whole.safetensors"]
