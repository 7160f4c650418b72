"""Two ways to run a sweep in processes of its own: the engine without Ray, forked, and `sweep run` with it."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from orchestrator.planning import checkpoint_retention
from orchestrator.planning import plan as plans
from orchestrator.spec import sweep as sweeps
from orchestrator.storage.filesystem import HeldError
from orchestrator.storage.store import Store
from tests.generated.lineage_trainer import PACE, TRAINED
from tests.support import engine, processes
from tests.support.command import ROOT
from tests.support.deaths import Instants

PATIENCE = 120.0
"""Seconds after which a run that does not end is a fault."""


class Stuck(AssertionError):
    """A run that does not come to its end."""


class Running(Protocol):
    """A run on its way, or a `clean`."""

    dead: set[int]
    """The processes that were killed while they ran trials, or that outlived the process that told them to."""

    def ended(self) -> bool:
        """Whether the process is gone."""

    def kill(self) -> None:
        """End it and all that it started, by SIGKILL."""

    def kill_worker(self) -> None:
        """End one of the processes that train for it, by SIGKILL, if there is one."""

    def result(self) -> Mapping[str, Any] | None:
        """`trained` epochs and the reasons of the `failed` trials, or by whom it is `held`; None if it died."""


class Forked:
    """`engine.run`, or `retention.clean`, in a forked process; its trials in another one, where `apart`."""

    def __init__(
        self,
        verb: str,
        document: Mapping[str, Any],
        folder: Path,
        workers: int = 1,
        fatal: int | None = None,
        apart: bool = False,
        pace: float = 0.0,
    ) -> None:
        """In `folder` lie the results and all that is beside them. It dies at the instant `fatal`."""
        self.dead: set[int] = set()
        self._folder = folder
        self._notes = folder / f"run-{time.monotonic_ns()}"
        self._notes.mkdir()
        arguments = (verb, dict(document), folder, self._notes, workers, fatal, apart, pace)
        self._process = engine.PROCESSES.Process(target=_forked, args=arguments)
        self._process.start()

    def ended(self) -> bool:
        """Whether the process is gone, and whoever trained for it."""
        self._process.join(0.001)
        if self._process.exitcode is None:
            return False
        if self._process.exitcode == -signal.SIGKILL:
            self.dead |= {self._process.pid or 0, *self._trainers()}
        return not any(Path(f"/proc/{pid}").exists() for pid in self._trainers())

    def kill(self) -> None:
        """Of the process alone: who trains for it notices when its epoch is done."""
        if self._process.exitcode is None:
            os.kill(self._process.pid or 0, signal.SIGKILL)

    def kill_worker(self) -> None:
        """The newest one, unless it has ended."""
        for pid in self._trainers()[-1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.dead.add(pid)

    def result(self) -> Mapping[str, Any] | None:
        """What it left when it ended by itself."""
        if self._process.exitcode == -signal.SIGKILL:
            return None
        assert self._process.exitcode == 0, (self._notes / "error").read_text()
        result: dict[str, Any] = json.loads((self._notes / "result").read_text())
        return result

    def _trainers(self) -> list[int]:
        return [int(name) for name in sorted(p.name.split("-")[1] for p in self._notes.glob("trainer-*"))]


def _forked(
    verb: str,
    document: dict[str, Any],
    folder: Path,
    notes: Path,
    workers: int,
    fatal: int | None,
    apart: bool,
    pace: float,
) -> None:
    _prepare(folder, pace)
    if fatal is not None:
        Instants(fatal).install()
    result = _carried_out(verb, document, folder, notes, workers, apart, pace)
    with open(notes / "result", "w") as file:
        json.dump(result, file)


def _carried_out(
    verb: str, document: dict[str, Any], folder: Path, notes: Path, workers: int, apart: bool, pace: float
) -> dict[str, Any]:
    import traceback

    sweep = sweeps.from_document(document)
    try:
        store = Store.at(str(folder / "results"), compact_above=2)
        if verb == "clean":
            planned = plans.make(sweep, store)
            with store.lock(sweep.name):
                checkpoint_retention.clean(planned, store)
            return {}
        if apart:
            engine.PROCESSES = multiprocessing.get_context(
                "fork"
            )  # a fork server of its own takes seconds to start
            with engine.worker(partial(_trainer, folder, notes, pace)) as (_, begin):
                outcome = engine.run(sweep, store, begin=begin)
        else:
            outcome = engine.run(sweep, store, workers=workers)
    except HeldError as error:
        return {"held": str(error)}
    except BaseException:
        (notes / "error").write_text(traceback.format_exc())
        raise
    return {"trained": outcome.trained, "again": outcome.recomputed, "failed": outcome.failed}


def _prepare(folder: Path, pace: float) -> None:
    os.environ[TRAINED], os.environ[PACE] = str(folder / "trained"), str(pace)


def _trainer(folder: Path, notes: Path, pace: float, deaths: int) -> None:
    """A worker has inherited the locks of the process that it is forked from, and must not hold them."""
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if entry.readlink().name == "lock":
                os.close(int(entry.name))
    _prepare(folder, pace)
    (notes / f"trainer-{os.getpid()}").touch()


class CommandLine:
    """`sweep run` or `sweep clean` under Ray."""

    def __init__(
        self, verb: str, document: Mapping[str, Any], folder: Path, pace: float = 0.0, **unused: Any
    ) -> None:
        """In `folder` lie the results and all that is beside them."""
        self.dead: set[int] = set()
        self._notes = folder / f"run-{time.monotonic_ns()}"
        self._notes.mkdir()
        file = self._notes / "sweep.yaml"
        file.write_text(json.dumps(document))
        environment = {**os.environ, TRAINED: str(folder / "trained"), PACE: str(pace)}
        command = ["-m", "orchestrator.cli", verb, str(file), "--results", str(folder / "results"), "--json"]
        with open(self._notes / "out", "w") as out, open(self._notes / "said", "w") as said:
            self._run = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=environment,
                stdout=out,
                stderr=said,
                text=True,
                start_new_session=True,
            )
        self._killed = False

    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._run.poll() is not None

    def kill(self) -> None:
        """Of the process, of Ray and of all workers."""
        self._killed = not self.ended()
        self.dead |= {*processes.descendants(self._run.pid)}
        processes.kill_all(self._run)

    def kill_worker(self) -> None:
        """The first that trains now."""
        for pid in processes.workers(self._run.pid)[:1]:
            processes.kill([pid])
            self.dead.add(pid)

    def result(self) -> Mapping[str, Any] | None:
        """From what it printed."""
        said = (self._notes / "said").read_text()
        if self._killed:
            return None
        if self._run.returncode == 2 and "run" in said:
            return {"held": said}
        assert self._run.returncode == 0, said[-3000:]
        printed = json.loads((self._notes / "out").read_text())
        return {"trained": printed["epochs"]["trained"], "failed": {}} if "epochs" in printed else {}
