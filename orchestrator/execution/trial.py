"""One trial on a worker, epoch by epoch, without Ray.

A trial starts from the store alone, so a new trial, a resumed one and a retried one are the same: read the trial's
history, load the newest checkpoint on its chain, train the next epoch, write its checkpoint, write its record, and
only then report it.
"""

import math
import socket
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments import callbacks
from orchestrator.cluster import shared_storage
from orchestrator.cluster.conditions import Conditions, require_device
from orchestrator.execution.trainers import Trainer, job_of
from orchestrator.planning.epoch_chain import ChainCursor, EpochChain
from orchestrator.spec.trials import Trial
from orchestrator.storage.filesystem import DamagedError, StoreError
from orchestrator.storage.history import Row
from orchestrator.storage.store import Store


@dataclass(frozen=True)
class TrialAssignment:
    """A trial with the chain of its plan.

    `fingerprint` is that of the data. `conditions` are those of the chain's root key; None leaves them unchecked.
    """

    trial: Trial
    chain: EpochChain
    fingerprint: str
    conditions: Conditions | None = None


@dataclass(frozen=True)
class RunContext:
    """What every worker of a run gets from the driver.

    `run` names the run, as its run.json in the store does. `software` are the versions on the driver's machine.
    """

    run: str
    sweep: str
    results: str
    trainer: str
    save_best: bool
    assignments: Mapping[str, TrialAssignment]
    software: Mapping[str, str | None]


class StaleAttemptError(Exception):
    """A worker's fencing token is old: another worker has the trial, or the trial has ended."""


class TrialRun:
    """One trial from its newest checkpoint to its last epoch, and then to its best one for the model."""

    def __init__(
        self, assignment: TrialAssignment, context: RunContext, trainer: Trainer, fencing_token: int = 0
    ) -> None:
        """The trial of `assignment`, trained by the warm `trainer`.

        Only the worker with the trial's newest `fencing_token` may write.
        """
        self.trial, self.trainer, self.context = assignment.trial, trainer, context
        self.job = job_of(assignment.trial.recipe, assignment.trial.seed, assignment.fingerprint)
        self.fencing_token = fencing_token
        self.store = Store.at(context.results)
        self.cursor = ChainCursor(assignment.chain)
        self.rows: list[Row] = []
        self.notes: list[str] = []
        self._to_export: str | None = None
        self._load()

    def _load(self) -> None:
        """Read the trial's history, and its newest intact checkpoint."""
        self._require_right_to_write()
        for row in self.store.read_trial(self.context.sweep, self.trial.id):
            if self.cursor.ending is not None or row["epoch_key"] != self.cursor.next_key:
                break
            self.cursor.append(row["epoch_key"], {m: float(row[m]) for m in callbacks.METRICS})
            self.rows.append(row)
        if self.cursor.ending is None:
            self._reset(self.cursor.keys)
        else:
            self._seek_best()

    def _seek_best(self) -> None:
        """The trial has ended: load its best epoch, or the newest checkpoint before it, for its model."""
        best = self.cursor.best_key(self.trial.recipe.settings.monitor) if self.context.save_best else None
        if best is None or self.store.has_model(self.context.sweep, self.trial.id, best):
            return
        self._to_export = best
        self._reset(self.cursor.keys[: self.cursor.keys.index(best) + 1])

    @property
    def _unfinished(self) -> bool:
        """Whether there are epochs to train, or to recompute for the best model."""
        if self.cursor.ending is None:
            return True
        return self._to_export is not None and self._to_export in self.cursor.keys[self.cursor.resume :]

    def _reset(self, keys: list[str]) -> None:
        """Fresh weights, or those of the newest intact checkpoint on `keys`."""
        self.trainer.reset(replace(self.job, cycles_momentum=self.cursor.chain.momentum is not None))
        gpus = self.trial.recipe.settings.resources.gpus_per_trial
        require_device(self.context.trainer, self.trainer.device, gpus > 0)
        self.cursor.resume = 0
        for count in range(len(keys), 0, -1):
            try:
                self.trainer.restore(self.store.checkpoints.read(keys[count - 1]))
            except FileNotFoundError:
                continue
            except DamagedError as error:
                self.notes.append(f"{error}; freed, its epochs are computed again")
                self.store.checkpoints.delete(keys[count - 1])
                continue
            self.cursor.resume = count
            return

    def advance(self) -> dict[str, Any]:
        """Train one epoch, or none if the trial has ended and has its best model; the result for the driver.

        `row` is the epoch's record. `recomputed` says that it was known and only its weights were missing.
        """
        known, going_on = len(self.cursor.keys), self.cursor.ending is None
        row = self._epoch() if self._unfinished else None
        if going_on and self.cursor.ending is not None:
            self._seek_best()
        done = not self._unfinished
        if done and self._to_export is not None:
            self._export(self._to_export)
        notes, self.notes = self.notes, []
        return {
            "row": row,
            "recomputed": row is not None and len(self.cursor.keys) == known,
            "done": done,
            "notes": notes,
        }

    def _epoch(self) -> Row:
        cursor = self.cursor
        number = cursor.resume
        rates = cursor.chain.rates(cursor.history[:number])
        key = cursor.training_key
        started_at, started = datetime.now(UTC), time.perf_counter()
        momentum = cursor.chain.momentum_in(number)
        cycled = {} if momentum is None else {"momentum": momentum}
        metrics = self.trainer.epoch(number, rates, **cycled)
        seconds = time.perf_counter() - started
        finite = all(math.isfinite(metrics[m]) for m in callbacks.METRICS)
        self._require_right_to_write()
        if finite:
            self.store.checkpoints.write(key, self.trainer.state())
        if number < len(cursor.keys):
            self._compare(number, metrics)
            cursor.resume += 1
            return self.rows[number]
        row: Row = {
            "sweep": self.context.sweep,
            "trial_id": self.trial.id,
            "optimizer": self.trial.recipe.optimizer_label,
            "schedule": self.trial.recipe.schedule_label,
            "seed": self.trial.seed,
            "epoch": number,
            **{m: float(metrics[m]) for m in callbacks.METRICS},
            "learning_rate": float(rates[0]),
            "learning_rate_end": float(rates[-1]),
            "seconds": seconds,
            "images_per_second": metrics["images"] / max(seconds, 1e-9),
            "epoch_key": key,
            "reused": False,
            "host": socket.gethostname(),
            "device": self.trainer.device,
            "started_at": started_at,
            **_test_metrics(metrics),
        }
        self._require_right_to_write()
        self.rows.append(row)
        self.store.write_history(self.context.sweep, self.trial.id, self.rows)
        cursor.append(key, {m: row[m] for m in callbacks.METRICS})
        cursor.resume = len(cursor.keys)
        return row

    def _compare(self, number: int, metrics: Mapping[str, float]) -> None:
        """A known epoch was recomputed: note it where the metrics are not those on record."""
        row = self.rows[number]
        recomputed = {m: float(metrics[m]) for m in callbacks.METRICS} | _test_metrics(metrics)
        differing = [m for m, value in recomputed.items() if not _same(value, row[m])]
        if differing:
            name = "val_loss" if differing[0] in callbacks.METRICS else differing[0]
            self.notes.append(
                f"epoch {number}, computed again on {socket.gethostname()} ({self.trainer.device}), gave "
                f"{name} {_digits(recomputed[name])}; recorded on {row['host']} ({row['device']}): "
                f"{_digits(row[name])}. Another machine or library computes other numbers"
            )

    def _require_right_to_write(self) -> None:
        """Raise StoreError unless the sweep is this run's, StaleAttemptError unless the trial is this worker's.

        A worker may outlive its driver, or come back after the network had failed. It may also be on a node that
        joined late and does not share the store.
        """
        run = self.store.read_run(self.context.sweep)
        if not run:
            raise StoreError(shared_storage.message(self.store.address, [socket.gethostname()]))
        if run["run"] != self.context.run:
            raise StoreError(f"sweep {self.context.sweep!r} in {self.store} has been taken over by another run")
        if run["attempts"].get(self.trial.id) != self.fencing_token:
            raise StaleAttemptError(
                f"{self.trial.id} is no longer this worker's on {socket.gethostname()}: it was given up"
            )

    def _export(self, best: str) -> None:
        """Write the best model of the finished trial: the trainer has the weights after the epoch `best`."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{self.trial.id}.keras"
            try:
                self.trainer.save(path)
            except OSError as error:
                reason = error.strerror or str(error)
                raise StoreError(
                    f"{path}: cannot be written ({reason}); make room there or set TMPDIR to another folder, "
                    "then run the same command again: nothing finished is lost"
                ) from error
            record = self.rows[self.cursor.keys.index(best)]
            self._require_right_to_write()
            self.store.write_model(self.context.sweep, self.trial.id, path.read_bytes(), record)


def _test_metrics(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """The metrics of the test set; None where the trainer gives none."""
    return {m: None if metrics.get(m) is None else float(metrics[m]) for m in callbacks.TEST_METRICS}


def _same(recomputed: float | None, recorded: float | None) -> bool:
    """Whether both are the same number, both no number, or both absent."""
    if recomputed is None or recorded is None:
        return recomputed is recorded
    return recomputed == recorded or (math.isnan(recomputed) and math.isnan(recorded))


def _digits(metric: float | None) -> str:
    return "none" if metric is None else f"{metric:.9g}"
