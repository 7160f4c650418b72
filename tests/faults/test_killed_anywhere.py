"""SIGKILL at every instant of writing: whatever dies, the next run ends with the numbers of a calm one."""

from functools import partial
from pathlib import Path

from orchestrator import plan
from orchestrator.store import Store
from tests.faults import engine
from tests.faults.conftest import calm, forked
from tests.faults.deaths import Instants

SWEEP = forked(schedules={"constant": {}, "step": {"every": 1}}, epochs=2)
EPOCHS = 2 + 1
"""Trained in all: the trunk's and the branch's last."""


def run_until(results: Path, fatal: int | None) -> None:
    """Run in this process, which dies at the instant `fatal`; beside the results, how many there were."""
    instants = Instants(fatal)
    instants.install()
    engine.run(SWEEP, Store.at(str(results)), workers=2)
    results.with_suffix(".instants").write_text(str(instants.count))


def test_driver_and_worker_die_together_at_any_instant(memory: Path) -> None:
    expected = calm(SWEEP, memory)
    assert engine.in_process(run_until, memory / "counted", None) == 0
    instants = int((memory / "counted.instants").read_text())
    assert instants > 80
    for fatal in range(instants):
        results = memory / str(fatal)
        assert engine.in_process(run_until, results, fatal) == -9, fatal
        store = Store.at(str(results))
        known = len(plan.make(SWEEP, store).known)
        outcome = engine.run(SWEEP, store, workers=2)
        assert engine.numbers(store) == expected, fatal
        engine.assert_whole(SWEEP, store)
        assert (outcome.trained, outcome.again) == (EPOCHS - known, 0), fatal


def install(fatal: int, deaths: int) -> None:
    """In a worker: the first of them dies at the instant `fatal`."""
    Instants(None if deaths else fatal).install()


def test_a_worker_dies_at_any_instant_and_its_driver_goes_on(memory: Path) -> None:
    expected = calm(SWEEP, memory)
    fatal = -1
    died = True
    while died:
        fatal += 1
        store, listener = Store.at(str(memory / str(fatal))), engine.Silent()
        with engine.worker(partial(install, fatal)) as (workers, begin):
            outcome = engine.run(SWEEP, store, listener=listener, begin=begin)
            died = workers[0].deaths == 1
        assert engine.numbers(store) == expected, fatal
        engine.assert_whole(SWEEP, store)
        assert (outcome.trained, outcome.again, outcome.failed) == (EPOCHS, 0, {}), fatal
        assert set(listener.endings.values()) == {"completed"}, fatal
    assert fatal > 40
