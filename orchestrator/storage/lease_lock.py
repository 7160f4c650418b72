"""Who runs what in an object store: leases, objects that a run keeps renewing and that expire without it.

An object store has no lock that dies with its process, so time has to tell who is dead. All else is exact: leases
are won, renewed, taken over and released by conditional writes. Of two such writes the store carries out one and
refuses the other. A free lease is an empty object, or none. A lease's age is the difference of two times that the
object store itself gave, so that no machine's clock has to be right.
"""

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from orchestrator.storage import checksums
from orchestrator.storage.filesystem import HeldError, StoreError
from orchestrator.storage.lock import FOLDER, LockTimes
from orchestrator.storage.object_store import ConflictError, ObjectFiles, Version

RUNS, TURN, TIDYING, CLOCK = f"{FOLDER}/runs~", f"{FOLDER}/turn", f"{FOLDER}/tidying", f"{FOLDER}/clock"
"""A run's lease ends in its sweep's name, which has no ~ in it; the others are one for the whole store."""


@dataclass(frozen=True)
class LeaseTimes:
    """When a lease is renewed and what its age means, in seconds."""

    renewed: float = 10.0
    """From one renewal to the next."""
    trusted: float = 40.0
    """After its last renewal for which a run begins to write; that has ended before the lease does."""
    expires: float = 60.0
    """After its last renewal from which on others take it over."""


@dataclass(frozen=True)
class Holder:
    """What a lease says of its holder. Two writes of it are never equal, so no two have the same e-tag."""

    id: str
    holder: str = "another process"
    process: str = ""
    renewals: int = 0

    @classmethod
    def this_process(cls) -> "Holder":
        """The holder that this process is from now on, with an id of its own."""
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        return cls(uuid4().hex, holder, _process(os.getpid()))

    @classmethod
    def of(cls, content: bytes) -> "Holder | None":
        """Who holds a lease with this content; None where it is free. Content that cannot be read names nobody."""
        if not content:
            return None
        try:
            fields: dict[str, Any] = checksums.read_json(content)
            return cls(str(fields["id"]), str(fields["holder"]), str(fields["process"]), int(fields["renewals"]))
        except (ValueError, KeyError, TypeError):
            return cls("")

    @property
    def content(self) -> bytes:
        """The lease's content."""
        return checksums.json_bytes(self.__dict__)

    @property
    def dead(self) -> bool:
        """Whether this was a process of this machine that is no more: then nobody has to wait."""
        machine, _, rest = self.process.rpartition(" pid ")
        pid, _, _ = rest.partition(" ")
        return bool(machine) and machine == _machine() and _process(int(pid)) != self.process


@dataclass(frozen=True)
class Lease:
    """A lease as it was read; `modified` in nanoseconds of the object store's clock.

    A free one has no `holder`; one that was never held has no `version` either.
    """

    holder: Holder | None = None
    version: Version | None = None
    modified: int = 0

    @classmethod
    def read(cls, files: ObjectFiles, name: str) -> "Lease":
        """The lease `name`. Raises StoreError."""
        try:
            state = files.state(name)
        except FileNotFoundError:
            return cls()
        return cls(Holder.of(state.content), state.version, state.modified)

    def held_by(self, holder: Holder) -> bool:
        """Whether `holder` has it, however often it has been renewed."""
        return self.holder is not None and self.holder.id == holder.id


class Hold:
    """A lease of this process, renewed by a thread until it is released or lost."""

    def __init__(
        self,
        files: ObjectFiles,
        name: str,
        sweep: str,
        holder: Holder,
        version: Version,
        begun: float,
        times: LeaseTimes,
    ) -> None:
        """Begin to renew the lease `name`, which `holder` has won for a run of `sweep`.

        `begun` is when the write that won it began.
        """
        self.name = name
        self._sweep = sweep
        self._files, self._times = files, times
        self._holder, self._version = holder, version
        self._trusted = begun
        self._lost = ""
        self._trouble = ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises StoreError if others may think by now that the lease has been given up."""
        trusted = self._times.trusted
        if not self._lost and _now() - self._trusted > trusted:
            self._lost = f"it could not be renewed for {trusted:.0f} s {self._trouble}".rstrip()
        if self._lost:
            raise StoreError(
                f"{self._files}: the hold on sweep {self._sweep!r} is lost: {self._lost}; nothing more is "
                "written, nothing finished is lost: run the same command again"
            )

    def release(self) -> None:
        """Make the lease free, if it is still this process's."""
        self._end.set()
        self._thread.join()
        with suppress(StoreError):
            self._write(b"")

    def _keep(self) -> None:
        while not self._lost and not self._end.wait(self._times.renewed):
            begun = _now()
            self._holder = replace(self._holder, renewals=self._holder.renewals + 1)
            try:
                self._write(self._holder.content)
                self._trusted = begun
            except ConflictError:
                self._lost = "another run has taken it over"
            except StoreError as error:
                self._trouble = f"({error})"

    def _write(self, content: bytes) -> None:
        """Replace this process's own content. Raises ConflictError where it is another's now, and StoreError."""
        try:
            self._version = self._files.update(self.name, content, self._version)
        except ConflictError:
            lease = Lease.read(
                self._files, self.name
            )  # an earlier write may have arrived, and its answer was lost
            if lease.version is None or not lease.held_by(self._holder):
                raise
            self._version = self._files.update(self.name, content, lease.version)


class Leases:
    """The runs in an object store: each holds its sweep alone, and nobody else is there when one tidies up."""

    def __init__(
        self, files: ObjectFiles, waits: LockTimes | None = None, times: LeaseTimes | None = None
    ) -> None:
        """The runs in `files`; none of them is this process's own yet."""
        self._files = files
        self._waits, self._times = waits or LockTimes(), times or LeaseTimes()
        self._holds: list[Hold] = []
        self._sweep = ""
        self._ends: dict[str, tuple[Version, float]] = {}

    @contextmanager
    def lock(self, sweep: str) -> Iterator[None]:
        """Hold the sweep for this process. Raises HeldError saying who has it and until when, and StoreError."""
        self._sweep = sweep
        with self._won(f"{RUNS}{sweep}", self._waits.look, self._run_by):
            until = _now() + self._waits.tidying
            while self._rival(TIDYING):
                if _now() >= until:
                    raise HeldError(
                        f"{self._files}: another process tidies it up; run the same command again later"
                    )
                time.sleep(0.1)
            yield

    def held(self, sweep: str) -> bool:
        """Whether some process runs the sweep now, by this machine's clock."""
        lease = Lease.read(self._files, f"{RUNS}{sweep}")
        if lease.holder is None or lease.holder.dead:
            return False
        return abs(time.time_ns() - lease.modified) < self._times.expires * 1e9

    def others(self) -> set[str]:
        """Within `lock`: the other sweeps that are being run in the store."""
        names = [f"{FOLDER}/{name}" for name, info in self._files.infos(FOLDER).items() if info.size]
        runs = [name for name in names if name.startswith(RUNS) and name != f"{RUNS}{self._sweep}"]
        return {name.removeprefix(RUNS) for name in runs if self._rival(name)}

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Within `lock`: nobody else is within this at the same time. Raises HeldError after a long wait."""
        if any(hold.name == TURN for hold in self._holds):
            yield
            return
        with self._won(TURN, self._waits.tidying, self._busy):
            yield

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Within `lock`: whether no other sweep is run in the store. None can begin before the end of this.

        It is this run's turn meanwhile. Who begins writes its lease first and looks for this second, so of two at
        once at least one sees the other.
        """
        with self.turn(), self._won(TIDYING, self._waits.tidying, self._busy):
            yield not self.others()

    def check(self) -> None:
        """Raises StoreError once this process can no longer be sure of what it holds."""
        for hold in self._holds:
            hold.check()

    @contextmanager
    def _won(self, name: str, patience: float, refusal: Callable[[Holder, float], str]) -> Iterator[None]:
        """Hold the lease `name`. Raises HeldError with the `refusal` of who has it after `patience` seconds."""
        hold = self._contend(name, patience, refusal)
        self._holds.append(hold)
        try:
            yield
        finally:
            self._holds.remove(hold)
            hold.release()

    def _contend(self, name: str, patience: float, refusal: Callable[[Holder, float], str]) -> Hold:
        until = _now() + patience
        holder = Holder.this_process()
        begun = _now()
        while True:
            lease = Lease.read(self._files, name)
            if lease.version and lease.held_by(holder):  # the write arrived, its answer was lost
                return Hold(self._files, name, self._sweep, holder, lease.version, begun, self._times)
            left = self._left(name, lease)
            if left <= 0:
                begun = _now()
                with suppress(ConflictError):  # somebody was faster
                    version = self._write(name, holder, lease.version)
                    return Hold(self._files, name, self._sweep, holder, version, begun, self._times)
            elif lease.holder and _now() >= until:
                raise HeldError(refusal(lease.holder, left))
            time.sleep(random.uniform(0.02, 0.2))

    def _write(self, name: str, holder: Holder, version: Version | None) -> Version:
        if version is None:
            return self._files.create(name, holder.content)
        return self._files.update(name, holder.content, version)

    def _rival(self, name: str) -> bool:
        """Whether somebody holds the lease."""
        return self._left(name, Lease.read(self._files, name)) > 0

    def _left(self, name: str, lease: Lease) -> float:
        """Seconds until the lease ends if it is not renewed; none where it is free.

        The store's clock is asked once for each version, this process's clock tells the rest.
        """
        if lease.version is None or lease.holder is None or lease.holder.dead:
            return 0.0
        version, end = self._ends.get(name, (None, 0.0))
        if version != lease.version:
            end = _now() + self._times.expires - (self._clock() - lease.modified) / 1e9
            self._ends[name] = lease.version, end
        return end - _now()

    def _clock(self) -> int:
        """The object store's time, in nanoseconds: it gives it with what is written."""
        self._files.write(CLOCK, b"")
        return self._files.modified(CLOCK)

    def _run_by(self, holder: Holder, left: float) -> str:
        return (
            f"sweep {self._sweep!r} in {self._files} is being run by {_described(holder, left)}; "
            "wait for it, watch it with `sweep status`, or stop it first"
        )

    def _busy(self, holder: Holder, left: float) -> str:
        described = _described(holder, left)
        return f"{self._files}: another run is busy in it, {described}; run the same command again later"


def _described(holder: Holder, left: float) -> str:
    until = datetime.now() + timedelta(seconds=left)
    return f"{holder.holder} (if that is dead, its hold ends by itself at {until:%H:%M:%S})"


def _now() -> float:
    """Seconds on a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _machine() -> str:
    """What tells one boot of one machine, and one set of process numbers, from all others; or nothing."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _process(pid: int) -> str:
    """What tells a living process from every other; empty where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return f"{_machine()} pid {pid} {fields[19]}" if _machine() and fields[0] not in "ZX" else ""
