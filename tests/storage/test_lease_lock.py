"""Leases of runs in a bucket, as several processes and a slow or dead one would have them."""

import os
import random
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.storage.filesystem import HeldError, StoreError
from orchestrator.storage.lease_lock import Holder, Leases, LeaseTimes
from orchestrator.storage.lock import LockTimes
from orchestrator.storage.object_store import ConflictError, ObjectFiles, opened
from orchestrator.storage.store import Store
from tests.support import buckets, engine
from tests.support.buckets import held
from tests.support.rows import row

SHORT = LeaseTimes(renewed=0.1, expires=3.0)
IMPATIENT = LockTimes(look=0.1)
ELSEWHERE = Holder("00", "process 7 on elsewhere", "another boot pid 7 1")


@pytest.fixture
def files(s3: str) -> ObjectFiles:
    """An empty prefix in a bucket."""
    return opened(buckets.address(s3))


def lock_and_die(address: str) -> None:
    """Take the sweep in this process, and be gone without a word."""
    with Leases(opened(address)).lock("a"):
        os.kill(os.getpid(), 9)


def test_nobody_waits_for_a_dead_process_of_this_machine(files: ObjectFiles) -> None:
    if not Path("/proc/self/ns/pid").exists():
        pytest.skip("this system does not tell one process from its successors")
    assert engine.in_process(lock_and_die, files.address) == -9
    assert held(files) == ["runs~a"]
    runs = Leases(files)
    assert not runs.held("a")
    with runs.lock("a"):
        assert runs.held("a")
    assert held(files) == []


def test_the_lease_of_a_silent_machine_says_until_when_and_expires(files: ObjectFiles) -> None:
    files.write("lock/runs~a", ELSEWHERE.content)
    runs = Leases(files, IMPATIENT, SHORT)
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
        assert held(files) == ["runs~a"]
    assert held(files) == []


def test_a_lease_is_renewed_for_as_long_as_it_is_held(files: ObjectFiles) -> None:
    with Leases(files, IMPATIENT, SHORT).lock("a"):
        time.sleep(3.3)
        with pytest.raises(HeldError), Leases(files, IMPATIENT, SHORT).lock("a"):
            pass


@pytest.mark.parametrize("fate", ["deleted", "taken over"])
def test_who_has_lost_the_lease_writes_no_more_and_does_not_bring_it_back(files: ObjectFiles, fate: str) -> None:
    store = Store(files, Leases(files, IMPATIENT, SHORT))
    with store.lock("s"):
        store.write_history("s", "a", [row("a", 0)])
        if fate == "deleted":
            files.delete("lock/runs~s")
        else:
            files.write("lock/runs~s", ELSEWHERE.content)
        time.sleep(1.0)
        for change in (
            lambda: store.write_history("s", "a", []),
            lambda: store.checkpoints.delete("ab" * 32),
            lambda: store.write_run("s", {}),
        ):
            with pytest.raises(StoreError, match="another run has taken it over; nothing more is written"):
                change()
    assert len(store.read_trial("s", "a")) == 1
    if fate == "deleted":
        assert files.names("lock") == []
    else:
        assert files.read("lock/runs~s") == ELSEWHERE.content


def test_who_could_not_renew_the_lease_for_long_does_not_trust_it(files: ObjectFiles) -> None:
    runs = Leases(files, times=LeaseTimes(trusted=0.3))
    with runs.lock("a"):
        runs.check()
        time.sleep(0.4)
        with pytest.raises(StoreError, match="could not be renewed"):
            runs.check()
    assert held(files) == []


def test_a_write_whose_answer_was_lost_is_known_as_ones_own(s3: str, files: ObjectFiles) -> None:
    """It is repeated, and conflicts with itself."""
    writes: list[str] = []

    def fault(method: str, path: str) -> int | None:
        if method != "PUT" or "/lock/runs~a" not in path:
            return None
        writes.append(path)
        return buckets.LOST if len(writes) % 2 else None

    with buckets.proxy(s3, fault) as endpoint:
        runs = Leases(opened(buckets.through(endpoint, files.address)), times=replace(SHORT, renewed=0.3))
        with runs.lock("a"):
            time.sleep(1.5)
            runs.check()
            assert held(files) == ["runs~a"]
    assert held(files) == []
    assert len(writes) > 4


@pytest.mark.parametrize("earlier", [None, b"", ELSEWHERE.content], ids=["none", "free", "dead"])
def test_of_two_who_saw_the_same_lease_one_gets_it(files: ObjectFiles, earlier: bytes | None) -> None:
    if earlier is None:
        writes = [lambda content: files.create("lock/runs~a", content)] * 2
    else:
        files.write("lock/runs~a", earlier)
        version = files.state("lock/runs~a").version
        writes = [lambda content: files.update("lock/runs~a", content, version)] * 2
    writes[0](b"first")
    with pytest.raises(ConflictError):
        writes[1](b"second")
    assert files.read("lock/runs~a") == b"first"


def test_a_lease_that_cannot_be_read_is_held_until_it_expires(files: ObjectFiles) -> None:
    files.write("lock/runs~a", b"torn")
    runs = Leases(files, IMPATIENT, replace(SHORT, expires=2.0))
    with pytest.raises(HeldError, match="is being run by another process"), runs.lock("a"):
        pass
    time.sleep(2.1)
    with runs.lock("a"):
        pass


def contend(address: str, locks: int, results: str) -> None:
    """Try to hold each of so many sweeps once, in a drawn order; write down those that were won."""
    files = opened(address)
    drawn = random.Random(os.getpid())
    runs = Leases(files, LockTimes(look=0.0))
    order = list(range(locks))
    drawn.shuffle(order)
    while "begin" not in files.names(""):
        time.sleep(0.01)
    won = []
    for number in order:
        lock = runs.lock(f"s{number}")
        try:
            lock.__enter__()
        except HeldError:
            continue
        won.append((number, lock))  # held until the end, so that nobody else may win it
    Path(results, str(os.getpid())).write_text(" ".join(str(number) for number, _ in won))
    while "end" not in files.names(""):
        time.sleep(0.01)
    for _, lock in won:
        lock.__exit__(None, None, None)


def test_of_eight_processes_one_wins_each_of_forty_locks(files: ObjectFiles, tmp_path: Path) -> None:
    """No module global, no machine's clock and no luck decide: the store carries out one of two creations."""
    arguments = (files.address, 40, str(tmp_path))
    processes = [engine.PROCESSES.Process(target=contend, args=arguments) for _ in range(8)]
    for process in processes:
        process.start()
    files.write("begin", b"1")
    while len(list(tmp_path.iterdir())) < 8 and all(process.is_alive() for process in processes):
        time.sleep(0.05)
    files.write("end", b"1")
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 8
    won = [int(number) for file in tmp_path.iterdir() for number in file.read_text().split()]
    assert sorted(won) == list(range(40))
    assert held(files) == []


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
    assert held(files) == []
