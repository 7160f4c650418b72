"""`sweep run` as a process, and the processes that it starts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.command import ROOT


def start(file: Path, results: Path, *options: str) -> subprocess.Popen[str]:
    """`sweep run` on `file`, leading a process group of its own; what it says is kept beside the results."""
    with open(results.with_suffix(".said"), "a") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli", "run", str(file), "--results", str(results), *options],
            cwd=ROOT,
            stdout=said,
            stderr=said,
            text=True,
            start_new_session=True,
        )


def said(results: Path) -> str:
    """What the runs into `results` have said."""
    return results.with_suffix(".said").read_text()


def descendants(pid: int) -> list[int]:
    """The processes below `pid`, from the nearest to the farthest."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    found, at = [pid], 0
    while at < len(found):
        found += parents.get(found[at], [])
        at += 1
    return found[1:]


def workers(pid: int) -> list[int]:
    """The processes below `pid` in which Ray trains a trial now."""
    found = []
    for process in descendants(pid):
        with suppress(OSError):
            if b"Trainable" in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(process)
    return found


def kill(pids: Sequence[int]) -> None:
    """SIGKILL for each that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def kill_all(run: subprocess.Popen[str]) -> None:
    """SIGKILL for the run and everything that it has started, Ray's processes too."""
    below = descendants(run.pid)
    kill([run.pid, *below])
    run.wait()
    until = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() and _alive(pid) for pid in below):
        kill(below)
        assert time.monotonic() < until
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
