"""Locks in a results folder that die with the process that holds them."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.storage.filesystem import HeldError, StoreError
from orchestrator.storage.lock import FOLDER, TURN, LockTimes


class Lock:
    """An open lock file: held by nobody, by several that share it, or by one alone."""

    def __init__(self, descriptor: int) -> None:
        """The lock of an open file; nothing is held yet."""
        self._descriptor = descriptor

    def alone(self, patience: float = 0.0) -> bool:
        """Hold it alone, waiting at most `patience` seconds. What was shared before is given up if that fails."""
        return self._take(fcntl.LOCK_EX, patience)

    def shared(self, patience: float = 0.0) -> bool:
        """Hold it together with others, waiting at most `patience` seconds for one who holds it alone."""
        return self._take(fcntl.LOCK_SH, patience)

    def sign(self) -> None:
        """Say in the file who holds it; on a full disk nobody is told."""
        text = f"process {os.getpid()} on {socket.gethostname()}".encode()
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text, 0)

    @property
    def holder(self) -> str:
        """Who signed last."""
        return os.pread(self._descriptor, 1000, 0).decode(errors="replace") or "another process"

    def _take(self, kind: int, patience: float) -> bool:
        until = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() >= until:
                    return False
                time.sleep(min(0.02, patience))
            else:
                return True


@contextmanager
def opened(path: Path) -> Iterator[Lock]:
    """The lock file at `path`, made where it is missing; let go of at the end. Raises StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}); give another --results") from None
    try:
        yield Lock(descriptor)
    finally:
        os.close(descriptor)


class FileLocks:
    """The runs in a results folder: each holds its sweep alone, and all share one lock of the folder."""

    def __init__(self, folder: Path, waits: LockTimes | None = None) -> None:
        """The runs in `folder`; none of them is this process's own yet."""
        self._folder = folder
        self._waits = waits or LockTimes()
        self._sweep = ""
        self._shared: Lock | None = None
        self._in_turn = False

    @contextmanager
    def lock(self, sweep: str) -> Iterator[None]:
        """Hold the sweep for this process. Raises HeldError saying who has it, and StoreError."""
        with opened(self._folder / sweep / FOLDER) as sweep_lock, opened(self._folder / FOLDER) as shared:
            if not sweep_lock.alone(patience=self._waits.look):
                raise HeldError(
                    f"sweep {sweep!r} in {self._folder} is being run by {sweep_lock.holder}; "
                    "wait for it, watch it with `sweep status`, or stop it first"
                )
            sweep_lock.sign()
            if not shared.shared(patience=self._waits.tidying):
                raise HeldError(f"{self._folder}: another process tidies it up; run the same command again later")
            self._sweep, self._shared = sweep, shared
            try:
                yield
            finally:
                self._sweep, self._shared = "", None

    def held(self, sweep: str) -> bool:
        """Whether some process runs the sweep now."""
        try:
            descriptor = os.open(self._folder / sweep / FOLDER, os.O_RDONLY)
        except OSError:
            return False
        try:
            return not Lock(descriptor).shared()
        finally:
            os.close(descriptor)

    def others(self) -> set[str]:
        """Within `lock`: the other sweeps that are being run in the folder."""
        with os.scandir(self._folder) as entries:
            sweeps = [entry.name for entry in entries if entry.is_dir() and entry.name != self._sweep]
        return {sweep for sweep in sweeps if self.held(sweep)}

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Within `lock`: nobody else is within this at the same time. Raises HeldError after a long wait."""
        if self._in_turn:
            yield
            return
        with opened(self._folder / TURN) as lock:
            if not lock.alone(patience=self._waits.tidying):
                raise HeldError(f"{self._folder}: another run is busy in it; run the same command again later")
            self._in_turn = True
            try:
                yield
            finally:
                self._in_turn = False

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Within `lock`: whether no other sweep is run in the folder. None can begin before the end of this.

        It is this run's turn meanwhile: who takes a lock of another kind is without any for an instant.
        """
        assert self._shared is not None
        with self.turn():
            try:
                yield self._shared.alone()
            finally:
                self._shared.shared(patience=self._waits.tidying)

    def check(self) -> None:
        """Nothing: a file lock is held until its process lets go of it or dies."""
