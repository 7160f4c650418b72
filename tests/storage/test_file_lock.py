"""Lock files; what any lock promises is in contract/test_every_store.py."""

from pathlib import Path

from orchestrator.storage.file_lock import FileLocks


def test_a_look_does_not_change_who_is_said_to_run_it(tmp_path: Path) -> None:
    with FileLocks(tmp_path).lock("a"):
        pass
    before = (tmp_path / "a" / "lock").read_text()
    assert not FileLocks(tmp_path).held("a")
    assert (tmp_path / "a" / "lock").read_text() == before
