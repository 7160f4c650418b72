"""Leases of runs in a bucket, as several processes and a slow or dead one would have them."""

import os
import random
import threading
import time
from pathlib import Path

import pytest

from orchestrator.storage import checksums, file_lock, lease_lock
from orchestrator.storage.file_lock import runs_in
from orchestrator.storage.filesystem import HeldError, StoreError
from orchestrator.storage.lease_lock import Hold, Leases
from orchestrator.storage.object_store import ObjectFiles, opened
from orchestrator.storage.store import Store
from tests.support import buckets, engine
from tests.support.rows import row


@pytest.fixture
def files(s3: str) -> ObjectFiles:
    """An empty prefix in a bucket."""
    return opened(buckets.address(s3))


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "LOOK", 0.1)
    monkeypatch.setattr(lease_lock, "RENEWED", 0.1)
    monkeypatch.setattr(lease_lock, "EXPIRES", 3.0)


def lock_and_die(address: str) -> None:
    """Take the sweep in this process, and be gone without a word."""
    with runs_in(opened(address)).lock("a"):
        os.kill(os.getpid(), 9)


def test_nobody_waits_for_a_dead_process_of_this_machine(files: ObjectFiles) -> None:
    if not Path("/proc/self/ns/pid").exists():
        pytest.skip("this system does not tell one process from its successors")
    assert engine.in_process(lock_and_die, files.address) == -9
    assert len(files.names("lock")) == 1
    runs = runs_in(files)
    assert not runs.held("a")
    with runs.lock("a"):
        assert runs.held("a")
    assert files.names("lock") == []


@pytest.mark.usefixtures("_short")
def test_the_lease_of_a_silent_machine_says_until_when_and_expires(files: ObjectFiles) -> None:
    said = {"holder": "process 7 on elsewhere", "process": "another boot pid 7 1"}
    files.write("lock/runs~a~00", checksums.json_bytes(said))
    runs = runs_in(files)
    assert runs.held("a")
    with (
        pytest.raises(
            HeldError, match=r"process 7 on elsewhere \(if that is dead, .* by itself at \d\d:\d\d:\d\d"
        ),
        runs.lock("a"),
    ):
        pass
    time.sleep(3.1)
    assert not runs.held("a")
    with runs.lock("a"):
        assert len(files.names("lock")) == 1


@pytest.mark.usefixtures("_short")
def test_a_lease_is_renewed_for_as_long_as_it_is_held(files: ObjectFiles) -> None:
    with runs_in(files).lock("a"):
        time.sleep(3.3)
        with pytest.raises(HeldError), runs_in(files).lock("a"):
            pass


@pytest.mark.usefixtures("_short")
def test_who_has_lost_the_lease_writes_no_more(files: ObjectFiles) -> None:
    store = Store(files)
    with store.lock("s"):
        store.write_history("s", "a", [row("a", 0)])
        for name in files.names("lock"):
            files.delete(f"lock/{name}")
        time.sleep(1.0)
        for change in (
            lambda: store.write_history("s", "a", []),
            lambda: store.delete_checkpoint("ab" * 32),
            lambda: store.write_run("s", {}),
        ):
            with pytest.raises(StoreError, match="another run has taken it over; nothing more is written"):
                change()
    assert len(store.read_trial("s", "a")) == 1
    assert files.names("lock") == []


def test_who_could_not_renew_the_lease_for_long_does_not_trust_it(
    files: ObjectFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_lock, "TRUSTED", 0.3)
    runs = runs_in(files)
    with runs.lock("a"):
        runs.check()
        time.sleep(0.4)
        with pytest.raises(StoreError, match="could not be renewed"):
            runs.check()


def test_a_run_that_slept_past_its_lease_does_not_bring_it_back(
    files: ObjectFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_lock, "RENEWED", 0.5)
    monkeypatch.setattr(lease_lock, "TRUSTED", 0.1)
    hold = Hold(files, lease_lock.RUNS, "a")
    files.delete(f"lock/{hold.lease.name}")
    time.sleep(0.8)
    assert files.names("lock") == []
    hold.release()


def test_of_many_at_once_never_two_hold_a_sweep(files: ObjectFiles) -> None:
    inside: list[int] = []
    most: list[int] = []
    refused: list[str] = []

    def contend(number: int) -> None:
        runs = Leases(files)
        drawn = random.Random(number)
        for _ in range(3):
            try:
                with runs.lock("a"):
                    inside.append(number)
                    most.append(len(inside))
                    time.sleep(drawn.uniform(0.0, 0.05))
                    inside.remove(number)
            except HeldError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert len(most) + len(refused) == 12
    assert files.names("lock") == []
