"""Who may run what in a results folder, as two processes would see it: each has its own open files."""

from pathlib import Path

import pytest

from orchestrator import locks
from orchestrator.files import HeldError
from orchestrator.locks import Runs


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LOOK", 0.1)
    monkeypatch.setattr(locks, "TIDYING", 0.1)


def test_a_sweep_has_one_run_and_a_folder_has_many(tmp_path: Path) -> None:
    first, second = Runs(tmp_path), Runs(tmp_path)
    with first.lock("a"), second.lock("b"):
        assert (second.held("a"), first.held("b")) == (True, True)
        with pytest.raises(HeldError, match=r"sweep 'a' in .* is being run by process \d+ on "), second.lock("a"):
            pass
    assert not first.held("a")
    assert not first.held("never")


def test_a_look_does_not_change_who_is_said_to_run_it(tmp_path: Path) -> None:
    with Runs(tmp_path).lock("a"):
        pass
    before = (tmp_path / "a" / "lock").read_text()
    assert not Runs(tmp_path).held("a")
    assert (tmp_path / "a" / "lock").read_text() == before


def test_alone_is_who_runs_the_only_sweep_and_nobody_begins_meanwhile(tmp_path: Path) -> None:
    first, second = Runs(tmp_path), Runs(tmp_path)
    with first.lock("a"):
        with second.lock("b"), first.alone() as alone:
            assert not alone
        with first.alone() as alone:
            assert alone
            with pytest.raises(HeldError, match="another process tidies it up"), second.lock("b"):
                pass
        with second.lock("b"):
            pass
