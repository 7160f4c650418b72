"""What keeps a machine in a cluster: with a `ray` that only writes down how it was called."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.command import ROOT
from tests.support.processes import descendants

SCRIPT = ROOT / "orchestrator" / "cluster" / "keep_joined.sh"
CALLED = "called"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home folder with programs in front of the real ones; nothing goes on running there afterwards."""
    (tmp_path / "bin").mkdir()
    for name, text in (("ray", f'echo "$@" >> "$HOME/{CALLED}"'), ("pgrep", "exit 1")):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    yield tmp_path
    for pid in keepers(tmp_path):
        end(pid)


def end(pid: int) -> None:
    """SIGKILL for the process and those below it."""
    for one in (pid, *descendants(pid)):
        os.kill(one, signal.SIGKILL)


def keepers(home: Path) -> list[int]:
    """The keepers that run for this home folder, by what is in their command lines."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(word.startswith(f"{home}/.sweep-worker".encode()) for word in words):
                found.append(int(entry.name))
    return found


def call(home: Path, *options: str) -> None:
    """The script, as Ray's launcher runs it."""
    variables = {"HOME": str(home), "PATH": f"{home}/bin:{os.environ['PATH']}"}
    subprocess.run(["sh", str(SCRIPT), *options], env=variables, check=True, timeout=10)


def called(home: Path) -> list[str]:
    """How `ray` was called."""
    path = home / CALLED
    return path.read_text().splitlines() if path.exists() else []


def eventually(ask: Callable[[], bool]) -> None:
    """Wait until it is so."""
    until = time.monotonic() + 20
    while not ask():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_worker_is_started_and_started_again_when_it_has_died(home: Path) -> None:
    call(home, "--address=head:6379", "--num-cpus=2")
    eventually(lambda: called(home).count("start --address=head:6379 --num-cpus=2") == 2)
    assert called(home)[:2] == ["stop", "start --address=head:6379 --num-cpus=2"]


def test_asked_again_it_changes_nothing_or_takes_the_new_options(home: Path) -> None:
    call(home, "--address=head:6379")
    eventually(lambda: len(called(home)) == 2)
    (first,) = keepers(home)
    call(home, "--address=head:6379")
    assert keepers(home) == [first]
    call(home, "--address=other:6379")
    eventually(lambda: "start --address=other:6379" in called(home))
    assert first not in keepers(home)
    assert len(keepers(home)) == 1


def test_one_that_was_killed_is_replaced(home: Path) -> None:
    call(home, "--address=head:6379")
    eventually(lambda: len(called(home)) == 2)
    (first,) = keepers(home)
    end(first)
    eventually(lambda: not keepers(home))
    call(home, "--address=head:6379")
    eventually(lambda: len(called(home)) == 4)
