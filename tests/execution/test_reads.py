"""A run reads each history file once, and again only when it has changed."""

import os
from pathlib import Path
from typing import Any

from orchestrator.analysis import status
from orchestrator.execution.run import run_sweep
from orchestrator.planning import plan
from orchestrator.spec.sweep import Sweep
from orchestrator.storage import sweep_state
from orchestrator.storage.store import Store
from tests.faults.conftest import memory
from tests.support import engine
from tests.support.counting import CountingFiles, age
from tests.support.rows import row
from tests.support.silent import Silent
from tests.support.sweeps import small

__all__ = ["memory"]
TRIAL = "sgd-constant-s0"
CONSTANT = {"schedules": {"constant": {}, "step": {"every": 2}}}


def one(**changes: Any) -> Sweep:
    document = {"optimizers": {"sgd": {"class": "SGD"}}, "schedules": {"constant": {}}, "seeds": [0]}
    return small(**{**document, **changes})


def counted(store: Store) -> tuple[CountingFiles, Store]:
    """The same store with counted reads."""
    files = CountingFiles(Path(store.address))
    return files, Store(files)


def test_a_finished_sweep_of_200_trials_is_read_once(memory: Path) -> None:
    sweep, store = small(seeds=list(range(50)), epochs=1, save_best=False), Store.at(str(memory / "results"))
    engine.run(sweep, store)
    age(memory)
    files, counting = counted(store)
    outcome = run_sweep(sweep, counting, Silent())
    comparison = status.comparison(outcome.plan, sweep_state.read(counting, sweep.name))
    assert (outcome.trained, len(outcome.plan.trials), len(comparison.ranking)) == (0, 200, 4)
    names = {f"small/history/{name}" for name in store.files.names("small/history")}
    assert len(names) == 200
    assert files.histories() == dict.fromkeys(names, 1)


def test_a_merged_history_is_read_once(memory: Path) -> None:
    store = Store.at(str(memory / "results"), compact_above=1)
    engine.run(small(), store)
    age(memory)
    files, counting = counted(store)
    outcome = run_sweep(small(), counting, Silent())
    assert (outcome.trained, len(outcome.plan.known)) == (0, 32)
    assert files.histories() == {"small/history/_finished.parquet": 1}


def test_a_history_that_another_process_writes_is_read_again_and_no_other(memory: Path) -> None:
    store = Store.at(str(memory / "results"))
    engine.run(small(), store)
    age(memory)
    files, counting = counted(store)
    before = plan.make(small(epochs=5), counting)
    files.histories()
    key = before.cursors[TRIAL].next_key
    store.write_history("small", TRIAL, [*store.read_trial("small", TRIAL), row(TRIAL, 4, key, sweep="small")])
    after = plan.renew(before, counting)
    assert [len(made.cursors[TRIAL].keys) for made in (before, after)] == [4, 5]
    assert files.histories() == {f"small/history/{TRIAL}.parquet": 1}


def test_a_history_of_the_same_size_and_time_is_read_again(memory: Path) -> None:
    store = Store.at(str(memory / "results"))
    engine.run(one(), store)
    age(memory)
    _, counting = counted(store)
    before = plan.make(one(), counting)
    path = Path(store.address) / "small" / "history" / f"{TRIAL}.parquet"
    times, rows = path.stat(), store.read_trial("small", TRIAL)
    store.write_history("small", TRIAL, [*rows[:-1], {**rows[-1], "loss": 0.125}])
    path.write_bytes(path.read_bytes().ljust(times.st_size))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = plan.renew(before, counting)
    assert (path.stat().st_mtime_ns, after.cursors[TRIAL].history) != (
        times.st_mtime_ns,
        before.cursors[TRIAL].history,
    )


def test_a_damaged_history_is_read_every_time_until_it_is_good(memory: Path) -> None:
    store = Store.at(str(memory / "results"))
    engine.run(one(), store)
    name = f"small/history/{TRIAL}.parquet"
    path = Path(store.address) / name
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    age(memory)
    files, counting = counted(store)
    planned = plan.make(one(), counting)
    assert [damage.name for damage in planned.damaged] == [name]
    files.histories()
    planned = plan.renew(planned, counting)
    assert [damage.name for damage in planned.damaged] == [name]
    assert name in files.histories()
    path.write_bytes(content)
    assert plan.renew(planned, counting).unfinished == ()


def test_what_another_process_trains_before_the_lock_is_reused(memory: Path) -> None:
    results = memory / "results"
    sweep = small(**CONSTANT)
    engine.run(small(**CONSTANT, epochs=2), Store.at(str(results)))
    age(memory)
    files = CountingFiles(results, on_probe=lambda: engine.run(sweep, Store.at(str(results))))
    outcome = run_sweep(sweep, Store(files), Silent())
    assert outcome.trained == 0
    assert outcome.plan.unfinished == ()
    engine.assert_whole(sweep, Store.at(str(results)))


def test_a_renewed_plan_is_the_plan_that_would_be_made(memory: Path) -> None:
    store = Store.at(str(memory / "results"))
    sweep = small(**CONSTANT)
    engine.run(small(epochs=2), store)
    age(memory)
    before = plan.make(sweep, store)
    engine.run(small(epochs=3), store)
    for planned in (plan.renew(before, store), plan.renew(plan.renew(before, store), store)):
        made = plan.make(sweep, Store.at(str(store)))
        assert planned.epochs == made.epochs
        assert planned.unfinished == made.unfinished
        for trial_id, cursor in made.cursors.items():
            renewed = planned.cursors[trial_id]
            assert (renewed.keys, renewed.history, renewed.resume) == (cursor.keys, cursor.history, cursor.resume)
