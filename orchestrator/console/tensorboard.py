"""TensorBoard event files of a run, written during the run: one TensorBoard run per trial."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.callbacks import METRICS
from orchestrator.execution.events import Listener
from orchestrator.planning.epoch_chain import ChainCursor
from orchestrator.planning.plan import Plan
from orchestrator.spec.trials import Trial
from orchestrator.storage.history import Row


class EventFiles:
    """A `Listener` that writes every known epoch of a trial into a file, and calls another listener."""

    _cursors: Mapping[str, ChainCursor]

    def __init__(self, folder: Path, listener: Listener) -> None:
        """Event files of a run in `folder`/<trial>; `listener` gets all events too."""
        self._folder, self._listener = folder, listener
        self._writers: dict[str, Any] = {}
        self._written: dict[str, int] = {}
        self._error = ""

    def began(self, plan: Plan, cursors: Mapping[str, ChainCursor]) -> None:
        """The run carries out `plan`; the `cursors` advance during the run."""
        self._cursors = cursors
        self._listener.began(plan, cursors)

    def started(self, trial: Trial) -> None:
        """The trial has a worker."""
        self._write(trial)
        self._listener.started(trial)

    def epoch(self, trial: Trial, row: Row) -> None:
        """The trial has trained an epoch."""
        self._write(trial)
        self._listener.epoch(trial, row)

    def ended(self, trial: Trial, status: str, reason: str) -> None:
        """The trial is completed, stopped, diverged or failed."""
        self._write(trial)
        writer = self._writers.pop(trial.id, None)
        if writer:
            with self._optional():
                writer.close()
        self._listener.ended(trial, status, reason)

    def say(self, message: str) -> None:
        """A message for people."""
        self._listener.say(message)

    def _write(self, trial: Trial) -> None:
        if not self._error:
            with self._optional():
                self._write_new(trial)

    @contextmanager
    def _optional(self) -> Iterator[None]:
        """A context whose OSError is reported once and ends the event files: the epochs are safe in the store."""
        try:
            yield
        except OSError as error:
            if not self._error:
                self._error = error.strerror or str(error)
                message = f"--tensorboard {self._folder}: cannot be written ({self._error})"
                self._listener.say(f"{message}; no more event files in this run")

    def _write_new(self, trial: Trial) -> None:
        from tensorboardX import SummaryWriter

        cursor, written = self._cursors[trial.id], self._written.get(trial.id, 0)
        if written == len(cursor.history):
            return
        if trial.id not in self._writers:
            self._writers[trial.id] = SummaryWriter(str(self._folder / trial.id), write_to_disk=True)
        writer = self._writers[trial.id]
        for epoch in range(written, len(cursor.history)):
            for metric in METRICS:
                writer.add_scalar(metric, cursor.history[epoch][metric], epoch)
            writer.add_scalar("learning_rate", float(cursor.chain.rates(cursor.history[:epoch])[0]), epoch)
            if (momentum := cursor.chain.momentum_in(epoch)) is not None:
                writer.add_scalar("momentum", float(momentum[0]), epoch)
        writer.flush()
        self._written[trial.id] = len(cursor.history)
