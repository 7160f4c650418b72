"""A run without Ray: the real recorder, trials and store, stepped in turn here or in one worker process.

Starting Ray takes seconds, and there are hundreds of instants at which something can die.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Protocol

import pyarrow as pa

from experiments import environment
from orchestrator.execution.events import Outcome
from orchestrator.execution.recorder import LOOK_EVERY, RunRecorder, take_over
from orchestrator.execution.trainers import trainer_class
from orchestrator.execution.trial import RunContext, TrialAssignment, TrialRun
from orchestrator.planning import plan
from orchestrator.planning.plan import Plan
from orchestrator.spec.sweep import Sweep
from orchestrator.spec.trials import Trial
from orchestrator.storage.history import HISTORY
from orchestrator.storage.store import Store
from tests.support.silent import TIMINGS, Silent


class Steps(Protocol):
    """A trial on its way."""

    def advance(self) -> dict[str, Any]:
        """One epoch. Raises EOFError when its worker has died."""


Begin = Callable[[Trial], Steps]


def context(made: Plan, store: Store, run: str) -> RunContext:
    """What a worker of this run is told."""
    return RunContext(
        run=run,
        sweep=made.sweep.name,
        results=store.address,
        trainer=made.sweep.trainer,
        save_best=made.sweep.save_best,
        assignments={
            t.id: TrialAssignment(t, made.cursors[t.id].chain, made.root_facts.description(t.recipe).fingerprint)
            for t in made.all_trials
        },
        software={},
    )


def here(told: RunContext) -> Begin:
    """Trials that run in this process, each with a trainer of its own."""
    kind = trainer_class(told.trainer)
    return lambda trial: TrialRun(
        told.assignments[trial.id], told, kind(threads=1, cache=environment.cache_folder())
    )


def run(
    sweep: Sweep,
    store: Store,
    workers: int = 1,
    listener: Silent | None = None,
    share: bool = True,
    begin: Callable[[RunContext], Begin] = here,
    look_every: float = LOOK_EVERY,
) -> Outcome:
    """Run the sweep as `sweep run` does, with Tune's part done by a loop: a worker that dies is started again."""
    with store.lock(sweep.name):
        take_over(store, sweep.name)
        made = plan.make(sweep, store, share=share)
        recorder = RunRecorder(made, store, listener or Silent(), look_every)
        recorder.open()
        start = begin(context(made, store, recorder.run))
        running: list[tuple[Trial, Steps | None]] = []
        while True:
            while len(running) < workers and not recorder.scheduler.exhausted and (trial := recorder.next()):
                running.append((trial, None))
            if not running and recorder.scheduler.exhausted:
                break
            if not running:
                time.sleep(0.05)
                continue
            trial, steps = running.pop(0)
            try:
                steps = steps or start(trial)
                result = steps.advance()
            except EOFError:
                running.insert(0, (trial, None))
                continue
            recorder.progress(trial, result)
            if not result["done"]:
                running.append((trial, steps))
        recorder.close()
        return recorder.outcome


def numbers(store: Store, sweep: str = "small") -> list[dict[str, Any]]:
    """Everything in the history that must not depend on when, where and in which order it was trained."""
    histories, damaged = store.history(sweep)
    assert damaged == []
    rows = pa.concat_tables([HISTORY.empty_table(), *histories.values()]).drop_columns(list(TIMINGS)).to_pylist()
    return sorted(rows, key=lambda r: (r["trial_id"], r["epoch"]))


def assert_whole(sweep: Sweep, store: Store, *others: Sweep) -> None:
    """Everything that the sweeps plan is there once, and nothing that a death could leave behind."""
    needed: set[str] = set()
    for each in (sweep, *others):
        after = plan.make(each, store)
        assert after.unfinished == ()
        rows = numbers(store, each.name)
        assert [(r["trial_id"], r["epoch"]) for r in rows] == sorted(
            (t.id, epoch) for t in after.trials for epoch in range(len(after.cursors[t.id].keys))
        )
        assert set(store.models(each.name)) == {t.id for t in after.trials}
        needed |= {key for t in after.trials for key in after.cursors[t.id].needed(t.recipe.settings.monitor)}
    assert store.checkpoints.complete() == needed
    assert len(store.files.names("checkpoints")) == 2 * len(needed)
    assert store.files.temporaries() == []


def _preloaded() -> Any:
    context = multiprocessing.get_context("forkserver")
    needed = ["tests.support.engine", "tests.support.deaths", "tests.support.fakes", "sklearn.datasets"]
    context.set_forkserver_preload(["__main__", "pytest", *needed])
    return context


PROCESSES = _preloaded()
"""Processes that are forked from one that has imported everything and started nothing."""


def in_process(target: Callable[..., Any], *arguments: Any, minutes: float = 1) -> int | None:
    """Run `target` in a process of its own for `minutes` at most; its exit code, -9 if it was killed."""
    process = PROCESSES.Process(target=target, args=arguments)
    process.start()
    process.join(60 * minutes)
    return process.exitcode


class Worker:
    """One process beside this one that runs trials, started again whenever it has died."""

    def __init__(self, told: RunContext, prepare: Callable[[int], None]) -> None:
        """`prepare` is called in each process with how many there were before it."""
        self.deaths = 0
        self._told, self._prepare = told, prepare
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = PROCESSES.Pipe()
        arguments = (theirs, self._told, self._prepare, self.deaths)
        self._process = PROCESSES.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, trial: Trial) -> Steps:
        """The trial, from now on run by the worker."""
        self._ask(trial.id)
        return self

    def advance(self) -> dict[str, Any]:
        """One epoch of the trial."""
        result: dict[str, Any] = self._ask(None)
        return result

    def _ask(self, question: str | None) -> Any:
        try:
            self._pipe.send(question)
            answer = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join(10)
            assert self._process.exitcode == -9
            self.deaths += 1
            self._start()
            raise EOFError from None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join(10)


@contextmanager
def worker(prepare: Callable[[int], None]) -> Iterator[tuple[list[Worker], Callable[[RunContext], Begin]]]:
    """For `run(begin=...)`: trials run by a worker process; the list holds it once it is there."""
    started: list[Worker] = []

    def begin(told: RunContext) -> Begin:
        started.append(Worker(told, prepare))
        return started[0].begin

    try:
        yield started, begin
    finally:
        for one in started:
            one.stop()


def _serve(pipe: Connection, told: RunContext, prepare: Callable[[int], None], deaths: int) -> None:
    prepare(deaths)
    begin, steps = here(told), None
    while True:
        try:
            question = pipe.recv()
        except EOFError:
            os._exit(0)
        if question is not None:
            steps = begin(told.assignments[question].trial)
            pipe.send(None)
        else:
            assert steps is not None
            pipe.send(steps.advance())
