"""A run dies between any two pieces of what it sends to a bucket; the next one ends where a calm one does."""

from pathlib import Path
from typing import Any

from orchestrator.storage.object_store import opened
from orchestrator.storage.store import Store
from tests.faults.conftest import calm, forked
from tests.support import buckets, engine

DEATHS = 4
"""Spread evenly over the run: each takes a process and a second of requests."""


def run(address: str) -> None:
    """Run in this process."""
    engine.run(forked(), Store.at(address))


def run_until(s3: str, address: str, fatal: int | None) -> int:
    """Run in a process that is killed before it sends its piece number `fatal`; how many it has sent."""
    sent = [0]
    processes: list[Any] = []

    def count(piece: bytes) -> None:
        if sent[0] == fatal:
            processes[0].kill()
            raise OSError("it is dead")
        sent[0] += 1

    with buckets.Cable(s3, count) as cable:
        through = buckets.through(cable.endpoint, address)
        processes.append(engine.PROCESSES.Process(target=run, args=(through,)))
        processes[0].start()
        processes[0].join(120)
    assert processes[0].exitcode == (0 if fatal is None else -9)
    return sent[0]


def test_the_next_run_ends_where_a_calm_one_does(s3: str, memory: Path) -> None:
    expected = calm(forked(), memory)
    pieces = run_until(s3, buckets.address(s3), None)
    assert pieces > 100
    for fatal in range(pieces // (2 * DEATHS), pieces, pieces // DEATHS):
        address = buckets.address(s3)
        run_until(s3, address, fatal)
        store = Store(opened(address))
        outcome = engine.run(forked(), store)
        assert engine.numbers(store) == expected, fatal
        engine.assert_whole(forked(), store)
        assert buckets.held(opened(address)) == [], fatal
        assert outcome.failed == {}
