"""SIGKILL at every instant of writing: whatever dies, the next run ends with the numbers of a calm one."""

import shutil
from functools import partial
from pathlib import Path

from orchestrator.planning import plan
from orchestrator.storage.store import Store
from tests.faults.conftest import calm, forked
from tests.support import engine
from tests.support.deaths import Instants

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
        assert (outcome.trained, outcome.recomputed) == (EPOCHS - known, 0), fatal


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
        assert (outcome.trained, outcome.recomputed, outcome.failed) == (EPOCHS, 0, {}), fatal
        assert set(listener.endings.values()) == {"completed"}, fatal
    assert fatal > 40


OLD = forked(schedules={"constant": {}}, seeds=[0, 1], epochs=1, batch_size=32, save_best=False)
NEW = forked(schedules={"constant": {}}, seeds=[0], epochs=1, save_best=False)


def change_until(results: Path, fatal: int | None) -> None:
    """Run NEW where OLD was run before; die at the instant `fatal`. Every run merges its histories."""
    instants = Instants(fatal)
    instants.install()
    engine.run(NEW, Store.at(str(results), compact_above=1))
    results.with_suffix(".instants").write_text(str(instants.count))


def test_no_row_is_lost_or_doubled_while_settings_change_and_histories_are_merged(
    memory: Path,
) -> None:
    old, new = calm(OLD, memory / "old"), calm(NEW, memory / "new")
    before = memory / "old" / "calm"
    shutil.copytree(before, memory / "counted")
    old_keys, new_keys = ({row["epoch_key"] for row in rows} for rows in (old, new))
    assert engine.in_process(change_until, memory / "counted", None) == 0
    for fatal in range(int((memory / "counted.instants").read_text())):
        store = Store.at(str(shutil.copytree(before, memory / str(fatal))), compact_above=1)
        assert engine.in_process(change_until, memory / str(fatal), fatal) == -9, fatal
        known = {key for rows in store.read_all()[0].everything() for key in rows["epoch_key"].to_pylist()}
        assert old_keys <= known <= old_keys | new_keys, fatal
        rows = engine.numbers(store)
        assert len({(r["trial_id"], r["epoch"]) for r in rows}) == len(rows), fatal

        engine.run(NEW, store)
        assert engine.numbers(store) == new, fatal
        assert store.files.names("small/history") == ["_finished.parquet"], fatal
    assert engine.run(OLD, store).trained == 0
    assert engine.numbers(store) == old
