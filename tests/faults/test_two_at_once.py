"""Two runs in one results folder, a worker that outlives its driver, a folder from another version."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from experiments.environment import cache_folder
from orchestrator.execution.recorder import RunRecorder, take_over
from orchestrator.execution.trainers import trainer_class
from orchestrator.execution.trial import RunContext, StaleAttemptError, TrialRun
from orchestrator.planning import checkpoint_retention, plan
from orchestrator.spec.sweep import Sweep
from orchestrator.spec.trials import Trial
from orchestrator.storage.filesystem import HeldError, StoreError
from orchestrator.storage.store import Store
from tests.faults.conftest import calm, forked
from tests.support import engine
from tests.support.command import command
from tests.support.fakes import VectorTrainer
from tests.support.sweeps import small, written

SLOW = forked(trainer="tests.support.fakes:SlowTrainer")
EPOCHS = 3 + 2 + 1


def run(results: Path, report: Path) -> None:
    """Run in this process; what it trained, or why it did not, is written into `report`."""
    try:
        outcome = engine.run(SLOW, Store.at(str(results)))
    except HeldError as error:
        report.write_text(f"held {error}")
    else:
        report.write_text(f"trained {outcome.trained}")


def test_of_two_runs_of_one_sweep_the_second_waits_or_says_who_has_it(memory: Path) -> None:
    results = memory / "results"
    processes = [engine.PROCESSES.Process(target=run, args=(results, memory / str(number))) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    said = sorted((memory / str(number)).read_text() for number in range(2))
    assert said[1] == f"trained {EPOCHS}"
    pids = "|".join(str(p.pid) for p in processes)
    assert re.fullmatch(rf"trained 0|held sweep 'small' in .* is being run by process ({pids}) on .*", said[0])
    store = Store.at(str(results))
    assert engine.numbers(store) == calm(SLOW, memory)
    engine.assert_whole(SLOW, store)


@pytest.mark.usefixtures("ray_session")
def test_the_command_line_says_who_runs_the_sweep(memory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = memory / "results"
    file = written(memory, **SLOW.document)
    with Store.at(str(results)).lock("small"):
        code, out, err = command("run", file, "--results", results, capture=capsys)
    assert (code, out) == (2, "")
    assert "sweep 'small' in" in err
    assert "is being run by process" in err
    assert sorted(p.name for p in results.rglob("*") if p.is_file()) == ["lock", "lock"]


def run_other(sweep: Sweep, results: Path) -> None:
    """Run another sweep in this process."""
    engine.run(sweep, Store.at(str(results)))


def test_two_sweeps_share_a_store_and_nobody_loses_a_checkpoint(memory: Path) -> None:
    store = Store.at(str(memory / "results"))
    other = small(**{**forked().document, "name": "other", "epochs": 5})
    mine = plan.make(forked(), store)
    with store.lock("small"):
        recorder = RunRecorder(mine, store, engine.Silent())
        recorder.open()
        store.checkpoints.write("ab" * 32, {})  # as if its worker had just written it
        process = engine.PROCESSES.Process(target=run_other, args=(other, memory / "results"))
        process.start()
        while process.exitcode is None:
            recorder.tick()
            process.join(0.1)
        assert "ab" * 32 in store.checkpoints.complete()
        second = Store.at(str(store))
        with second.lock("other"), pytest.raises(HeldError, match="another sweep is being run"):
            checkpoint_retention.clean(plan.make(other, second), second)
        recorder.close()
    engine.run(forked(), store)
    engine.assert_whole(other, store, forked())


@contextmanager
def first_trial(store: Store) -> Iterator[tuple[RunRecorder, Trial, RunContext]]:
    """A run that has just begun with its first trial: its recorder, the trial, and what its worker is told."""
    made = plan.make(forked(), store)
    with store.lock("small"):
        recorder = RunRecorder(made, store, engine.Silent())
        recorder.open()
        trial = recorder.next()
        assert trial is not None
        yield recorder, trial, engine.context(made, store, recorder.run)


def test_a_worker_that_outlives_its_driver_leaves_the_next_run_alone(memory: Path) -> None:
    expected = calm(forked(), memory)
    store = Store.at(str(memory / "results"))
    with first_trial(store) as (_, trial, told):
        worker = engine.here(told)(trial)
        worker.advance()
        worker.advance()
    engine.run(forked(), store)
    with pytest.raises(StoreError, match="taken over by another run"):
        worker.advance()
    assert engine.numbers(store) == expected
    engine.assert_whole(forked(), store)


def test_a_worker_that_outlives_its_driver_records_nothing_behind_the_back_of_the_next_plan(memory: Path) -> None:
    store = Store.at(str(memory / "results"))
    with first_trial(store) as (_, trial, told):
        worker = engine.here(told)(trial)
        worker.advance()
    with store.lock("small"):
        take_over(store, "small")
        made = plan.make(forked(), store)
        with pytest.raises(StoreError, match="taken over by another run"):
            worker.advance()
        assert len(store.read_trial("small", trial.id)) == len(made.cursors[trial.id].keys) == 1


@pytest.mark.parametrize("finished", [False, True], ids=["while it runs", "after its end"])
def test_a_worker_that_was_cut_off_and_comes_back_late_is_refused(memory: Path, finished: bool) -> None:
    expected = calm(forked(), memory)
    store = Store.at(str(memory / "results"))
    with first_trial(store) as (recorder, trial, told):
        kind = trainer_class(told.trainer)
        lost = engine.here(told)(trial)
        recorder.progress(trial, lost.advance())
        token = recorder.retry(trial, "its node is gone")
        another = TrialRun(told.assignments[trial.id], told, kind(threads=1, cache=cache_folder()), token)
        recorder.progress(trial, result := another.advance())
        while finished and not result["done"]:
            recorder.progress(trial, result := another.advance())
        before = {name: store.files.modified(name) for name in everything(store)}
        with pytest.raises(StaleAttemptError, match=f"{trial.id} is no longer this worker's"):
            lost.advance()
        assert before == {name: store.files.modified(name) for name in everything(store)}
    engine.run(forked(), store)
    assert engine.numbers(store) == expected
    engine.assert_whole(forked(), store)


def test_a_worker_that_loses_its_trial_while_it_writes_the_checkpoint_writes_no_record(memory: Path) -> None:
    store = Store.at(str(memory / "results"))
    with first_trial(store) as (recorder, trial, told):

        class Cut(VectorTrainer):
            def state(self) -> dict[str, Any]:
                recorder.retry(trial, "its node is gone")
                return super().state()

        lost = TrialRun(told.assignments[trial.id], told, Cut(threads=1, cache=cache_folder()))
        with pytest.raises(StaleAttemptError):
            lost.advance()
    assert store.read_trial("small", trial.id) == []


def everything(store: Store) -> list[str]:
    """The files of the store."""
    root = Path(str(store))
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


@pytest.mark.parametrize("verb", ["plan", "run", "status", "report", "clean"])
def test_a_folder_of_a_newer_format_is_refused_and_not_touched(
    verb: str, memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.at(str(memory / "results"))
    engine.run(forked(), store)
    store.files.write("format.json", b'{"format": 2, "kept": "elsewhere"}')
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in memory.rglob("results/**/*") if p.is_file()}
    file = written(memory, **forked(epochs=9).document)
    code, out, err = command(verb, file, "--results", memory / "results", capture=capsys)
    assert (code, out) == (3, "")
    assert "written in format 2, this version reads format 1" in err
    assert before == {
        p: (p.stat().st_mtime_ns, p.read_bytes()) for p in memory.rglob("results/**/*") if p.is_file()
    }
