"""No room at any writer: a clear message, the last good files still good, and it goes on once there is room."""

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments import files
from orchestrator.planning import plan
from orchestrator.storage.filesystem import TEMPORARY, StoreError
from orchestrator.storage.store import Store
from tests.faults.conftest import calm, forked
from tests.support import engine
from tests.support.command import command
from tests.support.fakes import VectorTrainer
from tests.support.sweeps import written

SWEEP = forked(schedules={"constant": {}, "step": {"every": 1}}, epochs=2)
ROOM = resource.RLIM_INFINITY


class Filling:
    """In its process, the disk is full from the file number `full` on: the kernel refuses every byte (EFBIG)."""

    def __init__(self, full: int | None) -> None:
        self.count, self._full = 0, full

    def install(self) -> None:
        files.open = self._open  # type: ignore[attr-defined]

    def _open(self, path: Path, mode: str) -> Any:
        if path.name.startswith(TEMPORARY):  # of the store: the cache may be lost
            if self.count == self._full:
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, ROOM))
            self.count += 1
        return open(path, mode)


def run_until_full(results: Path, full: int | None) -> None:
    """Run in this process; what it says in the end, and how many files it wrote, is written beside the results."""
    filling = Filling(full)
    filling.install()
    said, code = "", 0
    try:
        engine.run(SWEEP, Store.at(str(results)))
    except StoreError as error:
        said, code = str(error), error.exit_code
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))
    results.with_suffix(".said").write_text(f"{filling.count}\n{said}")
    os._exit(code)


def test_the_disk_is_full_at_any_file(memory: Path) -> None:
    expected = calm(SWEEP, memory)
    assert engine.in_process(run_until_full, memory / "counted", None) == 0
    files_written = int((memory / "counted.said").read_text())
    assert files_written > 20
    for full in range(files_written):
        results = memory / str(full)
        assert engine.in_process(run_until_full, results, full) == 1, full
        said = results.with_suffix(".said").read_text()
        assert f"{results}/" in said, full
        assert "cannot be written (File too large" in said, full
        assert "make room or give another --results" in said, full
        store = Store.at(str(results))
        assert plan.make(SWEEP, store).damaged == (), full
        assert store.files.temporaries() == [], full
        engine.run(SWEEP, store)
        assert engine.numbers(store) == expected, full
        engine.assert_whole(SWEEP, store)


class CrampedTrainer(VectorTrainer):
    """Has no room for the model that it saves."""

    def save(self, path: Path) -> None:
        """Write what the kernel refuses."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, ROOM))
        super().save(path)


def test_no_room_to_save_the_best_model_says_where(memory: Path) -> None:
    cramped = forked(trainer=f"{__name__}:CrampedTrainer")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(StoreError, match=r"s0\.keras: cannot be written \(File too large\); .*TMPDIR"):
            engine.run(cramped, Store.at(str(memory)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(plan.make(cramped, Store.at(str(memory))).known) == 3


@pytest.fixture
def little_room(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system, and only where mounting is allowed")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.usefixtures("ray_session")
def test_a_file_system_that_fills_up_ends_the_run_with_exit_code_1(
    little_room: Path, memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = little_room / "results"
    sweep = forked(epochs=4)
    expected = calm(sweep, memory)
    run = ("run", written(memory, **sweep.document), "--results", results, "--json")
    code, out, err = command(*run, capture=capsys)
    assert (code, out) == (1, "")
    assert f"{results}/" in err
    assert "cannot be written (No space left on device" in err
    assert "Traceback" not in err
    left = Store.at(str(results))
    before = plan.make(sweep, left)
    assert before.damaged == ()
    assert left.files.temporaries() == []

    subprocess.run(["mount", "-o", "remount,size=8m", str(little_room)], check=True)
    code, out, err = command(*run, capture=capsys)
    assert code == 0
    assert engine.numbers(left) == expected
    engine.assert_whole(sweep, left)
