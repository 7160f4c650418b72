"""Who runs what in an object store: leases, objects that a run keeps renewing and that expire without it.

An object store has no lock that dies with its process, so time has to tell. Whoever wants something writes a lease
first and looks for others' second; of two who do so at once at least one sees the other. The one whose lease comes
first by name waits, the others take theirs back, and only who sees no other holds anything. A lease's age is the
difference of two times that the object store itself gave, so that no machine's clock has to be right.
"""

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from orchestrator.storage import checksums, file_lock
from orchestrator.storage.filesystem import HeldError, StoreError
from orchestrator.storage.object_store import ObjectFiles

RENEWED = 10.0
"""Seconds from one renewal of a lease to the next."""
TRUSTED = 40.0
"""Seconds after its last renewal for which a run begins to write; that has ended before the lease does."""
EXPIRES = 60.0
"""Seconds after its last renewal from which on others take no notice of a lease."""
RUNS, TIDIES, TURNS = "runs", "tidies", "turns"


@dataclass(frozen=True)
class Lease:
    """A lease as its name tells it; `renewed` in nanoseconds of the object store's clock."""

    what: str
    sweep: str
    id: str
    renewed: int = 0

    @property
    def name(self) -> str:
        """The object's name in its folder. No sweep's name has a ~ in it."""
        return f"{self.what}~{self.sweep}~{self.id}"


class Hold:
    """A lease of this process, renewed by a thread until it is let go of or lost."""

    def __init__(self, files: ObjectFiles, what: str, sweep: str) -> None:
        """Write the lease and begin to renew it. Raises StoreError."""
        self.lease = Lease(what, sweep, uuid4().hex)
        self._files = files
        self._name = f"{file_lock.FOLDER}/{self.lease.name}"
        self._lost = ""
        self._trouble = ""
        self._end = threading.Event()
        self._trusted = _now()
        self._write()
        self.renewed = files.modified(self._name)
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises StoreError if others may think by now that the lease has been given up."""
        if not self._lost and _now() - self._trusted > TRUSTED:
            self._lost = f"it could not be renewed for {TRUSTED:.0f} s {self._trouble}".rstrip()
        if self._lost:
            raise StoreError(
                f"{self._files}: the hold on sweep {self.lease.sweep!r} is lost: {self._lost}; nothing more is "
                "written, nothing finished is lost: run the same command again"
            )

    def release(self) -> None:
        """Let go of it."""
        self._end.set()
        self._thread.join()
        with suppress(StoreError):
            self._files.delete(self._name)

    def _keep(self) -> None:
        while not self._end.wait(RENEWED):
            try:
                self._renew()
            except StoreError as error:
                self._trouble = f"({error})"
            if self._lost:
                return

    def _renew(self) -> None:
        """Once more, unless somebody has taken it away or may have done so."""
        begun = _now()
        with suppress(StoreError):
            self.check()
        if not self._lost and not self._files.modified(self._name):
            self._lost = "another run has taken it over"
        if self._lost:
            return
        self._write()
        renewed = self._files.modified(self._name)
        if max(_now() - self._trusted, (renewed - self.renewed) / 1e9) > TRUSTED:
            self._lost = f"this process stood still for more than {TRUSTED:.0f} s"
            self._files.delete(self._name)
            return
        self._trusted, self.renewed = begun, renewed

    def _write(self) -> None:
        said = {"holder": f"process {os.getpid()} on {socket.gethostname()}", "process": _process(os.getpid())}
        self._files.write(self._name, checksums.json_bytes(said))


class Leases:
    """The runs in an object store: each holds its sweep alone, and nobody else is there when one tidies up."""

    def __init__(self, files: ObjectFiles) -> None:
        """The runs in `files`; none of them is this process's own yet."""
        self._files = files
        self._holds: list[Hold] = []

    @contextmanager
    def lock(self, sweep: str) -> Iterator[None]:
        """Hold the sweep for this process. Raises HeldError saying who has it and until when, and StoreError."""
        hold = self._won(RUNS, sweep, file_lock.LOOK, self._run_by)
        try:
            until = _now() + file_lock.TIDYING
            while self._others(hold, TIDIES):
                if _now() >= until:
                    raise HeldError(
                        f"{self._files}: another process tidies it up; run the same command again later"
                    )
                time.sleep(0.1)
            self._holds.append(hold)
            yield
        finally:
            self._holds = [other for other in self._holds if other is not hold]
            hold.release()

    def held(self, sweep: str) -> bool:
        """Whether some process runs the sweep now, by this machine's clock."""
        now = time.time_ns()
        there = [lease for lease in self._all() if (lease.what, lease.sweep) == (RUNS, sweep)]
        return any(abs(now - lease.renewed) < EXPIRES * 1e9 and not self._dead(lease) for lease in there)

    def others(self) -> set[str]:
        """Within `lock`: the other sweeps that are being run in the store."""
        own = self._holds[0]
        return {lease.sweep for lease in self._others(own, RUNS)} - {own.lease.sweep}

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Within `lock`: nobody else is within this at the same time. Raises HeldError after a long wait."""
        if any(hold.lease.what == TURNS for hold in self._holds):
            yield
            return
        hold = self._won(TURNS, self._holds[0].lease.sweep, file_lock.TIDYING, self._busy)
        self._holds.append(hold)
        try:
            yield
        finally:
            self._holds.remove(hold)
            hold.release()

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Within `lock`: whether no other sweep is run in the store. None can begin before the end of this.

        It is this run's turn meanwhile.
        """
        with self.turn():
            marker = Hold(self._files, TIDIES, self._holds[0].lease.sweep)
            self._holds.append(marker)
            try:
                yield not self._others(marker, RUNS)
            finally:
                self._holds.remove(marker)
                marker.release()

    def check(self) -> None:
        """Raises StoreError once this process can no longer be sure of what it holds."""
        for hold in self._holds:
            hold.check()

    def _won(self, what: str, sweep: str, patience: float, refusal: Callable[[Hold, Lease], str]) -> Hold:
        """The only lease of its kind, of the sweep where it is a run's and in the store where it is a turn's.

        Raises HeldError with the `refusal` of one's own lease and another's after `patience` seconds.
        """
        until = _now() + patience
        only = sweep if what == RUNS else None
        while True:
            hold = Hold(self._files, what, sweep)
            try:
                rivals = self._others(hold, what, only)
                while rivals and _now() < until and all(hold.lease.id < rival.id for rival in rivals):
                    time.sleep(0.1)
                    rivals = self._others(hold, what, only)
                if not rivals:
                    return hold
                reason = refusal(hold, rivals[0])
            except BaseException:
                hold.release()
                raise
            hold.release()
            if _now() >= until:
                raise HeldError(reason)
            time.sleep(random.uniform(0.05, 0.3))

    def _run_by(self, hold: Hold, rival: Lease) -> str:
        return (
            f"sweep {hold.lease.sweep!r} in {self._files} is being run by {self._described(rival, hold)}; "
            "wait for it, watch it with `sweep status`, or stop it first"
        )

    def _busy(self, hold: Hold, rival: Lease) -> str:
        holder = self._described(rival, hold)
        return f"{self._files}: another run is busy in it, {holder}; run the same command again later"

    def _all(self) -> list[Lease]:
        named = [(name.split("~"), renewed) for name, renewed in self._files.times(file_lock.FOLDER).items()]
        return [Lease(parts[0], parts[1], parts[2], renewed) for parts, renewed in named if len(parts) == 3]

    def _others(self, hold: Hold, what: str, sweep: str | None = None) -> list[Lease]:
        """The leases of this kind that others hold. Those that are over are cleared away."""
        mine = [*self._holds, hold]
        there = [lease for lease in self._all() if lease.what == what and sweep in (None, lease.sweep)]
        others = [lease for lease in there if all(lease.id != own.lease.id for own in mine)]
        over = [other for other in others if self._age(other, hold) >= EXPIRES or self._dead(other)]
        for lease in over:
            self._files.delete(f"{file_lock.FOLDER}/{lease.name}")
        return [lease for lease in others if lease not in over]

    @staticmethod
    def _age(lease: Lease, hold: Hold) -> float:
        """Seconds since its renewal, at the time when `hold` was renewed."""
        return (hold.renewed - lease.renewed) / 1e9

    def _said(self, lease: Lease) -> dict[str, Any]:
        """What the lease says of its holder; nothing if it is gone or is another version's."""
        try:
            return checksums.read_json(self._files.read(f"{file_lock.FOLDER}/{lease.name}"))
        except (FileNotFoundError, ValueError):
            return {}

    def _dead(self, lease: Lease) -> bool:
        """Whether its holder was a process of this machine that is no more: then nobody has to wait."""
        process = str(self._said(lease).get("process", ""))
        machine, _, rest = process.rpartition(" pid ")
        pid, _, _ = rest.partition(" ")
        return bool(machine) and machine == _machine() and _process(int(pid)) != process

    def _described(self, lease: Lease, hold: Hold) -> str:
        until = datetime.now() + timedelta(seconds=EXPIRES - self._age(lease, hold))
        holder = self._said(lease).get("holder", "another process")
        return f"{holder} (if that is dead, its hold ends by itself at {until:%H:%M:%S})"


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
