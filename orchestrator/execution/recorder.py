"""What a run writes down while it goes on."""

import functools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pyarrow as pa

from orchestrator.execution.claims import OtherSweeps
from orchestrator.execution.events import Listener, Outcome
from orchestrator.execution.scheduler import Fits, Scheduler, anywhere
from orchestrator.planning.checkpoint_retention import Retention, tidy
from orchestrator.planning.plan import Plan
from orchestrator.spec.trials import Trial
from orchestrator.storage import history
from orchestrator.storage.filesystem import StoreError
from orchestrator.storage.history import Row
from orchestrator.storage.store import Store

LOOK_EVERY = 1.0
"""Seconds from one look at the other runs in the store to the next, at least."""


class Pace:
    """When something is to be done again that may take long: it gets a twentieth of the time."""

    def __init__(self, least: float) -> None:
        """Now, and then not before `least` seconds have gone by."""
        self._least = least
        self._next = float("-inf")

    @contextmanager
    def due(self) -> Iterator[bool]:
        """Whether it is time; it is done within this."""
        began = time.monotonic()
        if began < self._next:
            yield False
            return
        yield True
        ended = time.monotonic()
        self._next = ended + max(self._least, 20 * (ended - began))


def take_over(store: Store, sweep: str) -> None:
    """Within the sweep's lock, before it is planned: from now on no worker of a former run writes anything.

    One that outlived its driver would otherwise record an epoch that the plan does not know. Raises StoreError.
    """
    store.create()
    store.write_run(sweep, {"run": uuid4().hex, "running": {}, "attempts": {}, "since": time.time()})


class RunRecorder:
    """What is written down while a run goes on: histories of taken epochs, failures, the state of the run."""

    def __init__(self, plan: Plan, store: Store, listener: Listener) -> None:
        """The books of one run of `plan`."""
        self.plan, self.store, self.listener = plan, store, listener
        self.sweep = plan.sweep.name
        self.run = uuid4().hex
        self.outcome = Outcome()
        self.frontier = Scheduler(plan)
        self.retention = Retention(plan)
        self.others = OtherSweeps(store, self.sweep, plan.histories)
        self.by_id = {t.id: t for t in plan.trials}
        self.fatal: StoreError | None = None
        self._histories: dict[str, pa.Table] = {}
        self._running: dict[str, float] = {}
        self._attempts: dict[str, int] = {}
        self._since = time.time()
        self._released: dict[str, str] = {}
        self._waits_for = ""
        self._looking, self._freeing = Pace(LOOK_EVERY), Pace(0.0)

    def open(self) -> None:
        """Bring the store in line with the plan before anything is trained."""
        self.store.create()
        self._write_run()
        self.others.begin()
        for damage in self.plan.damaged:
            moved = self.store.set_aside(damage)
            self.listener.say(f"{damage.reason}; set aside as {moved}, what it held is made again")
        self.store.write_sweep(self.sweep, self.plan.sweep.document)
        self._histories = dict(self.plan.history)
        for trial_id in sorted(self._histories.keys() - self.by_id.keys()):
            self.store.supersede(self.sweep, trial_id, self._histories[trial_id])
        for trial in self.plan.trials:
            self.take(trial)
        if self.plan.rebuilt:
            self.listener.say(
                f"{len(self.plan.rebuilt)} best models are missing and so are their checkpoints: the epochs that "
                "lead to them are computed again"
            )
        with self.store.turn():  # nobody frees anything meanwhile, and the plan may be older than this
            checkpoints = self.store.checkpoints()
            for trial in self.plan.unfinished:
                rebuild = self.plan.rebuilt.get(trial.id)
                self.plan.cursors[trial.id].find_checkpoint(checkpoints, rebuild.epochs if rebuild else None)
            self.frontier, self.retention = Scheduler(self.plan), Retention(self.plan)
            self.look()

    def close(self) -> None:
        """Tidy up after a run that came to its end."""
        self._free()
        self.store.drop_claims(self.sweep)
        cursors = self.plan.cursors
        self.store.compact(self.sweep, {t.id for t in self.plan.trials if cursors[t.id].ending is not None})
        self._running.clear()
        self._attempts.clear()
        self._write_run()
        tidy(self.plan, self.store)

    def next(self, fits: Fits = anywhere) -> Trial | None:
        """The trial to start next, which is about to run; None while all wait. Raises StoreError.

        Where other sweeps are run it is chosen in turn with them: none may begin an epoch that another computes.
        """
        if not self.frontier.may_start(fits):
            self.tick()
            self._say_who_is_waited_for()
            return None
        if not self.others.running:
            self.look()
        trial = None
        if not self.others.running:
            trial = self.frontier.next(fits)
        else:
            with self.store.turn():
                self.look()
                trial = self.frontier.next(fits)
                self._publish()
        if trial is not None:
            self._waits_for = ""
            self.start(trial)
        return trial

    def _say_who_is_waited_for(self) -> None:
        if self._running or self._waits_for or not self.others.running or self.frontier.exhausted:
            return
        if self.others.taken().unknown:  # a moment later it is known whether there is anything to wait for
            return
        self._waits_for = ", ".join(sorted(self.others.running))
        self.listener.say(f"{self.sweep} waits for {self._waits_for}: what is left here is being trained there")

    def tick(self) -> None:
        """See from time to time what other runs do. Raises StoreError."""
        with self._looking.due() as due:
            if due:
                self.look()

    def look(self) -> None:
        """See what other runs do now, go on from what they have computed, and say what this one does and needs."""
        changed = self.others.look()
        if changed or self.others.running:
            self._discover(changed)
        self.frontier.hold_back(self.others.taken())
        self._publish()

    def _discover(self, changed: Sequence[pa.Table]) -> None:
        rows = [row for table in changed for row in self.plan.known.missing(table)]
        checkpoints = functools.cache(self.store.checkpoints)
        passed = self.frontier.discover(rows, checkpoints)
        moved = [self.by_id[trial_id] for trial_id in passed]
        left = {key: trial_id for trial_id, keys in passed.items() for key in keys if key in checkpoints()}
        self._released |= self.retention.update(moved, written=left)
        for trial in moved:
            status = self.plan.cursors[trial.id].ending
            if status and not self.frontier.needs_start(trial.id):
                self.take(trial)
                self.listener.ended(trial, status, "")

    def _publish(self) -> None:
        if self.others.running:
            self.others.publish(self.frontier.places, self.frontier.waiting, self.retention)

    def _free(self) -> None:
        """Free the checkpoints that no trial here holds any more and no other sweep needs.

        What a running one may need stays on the list; what another holds on record is from now on its own to free.
        """
        with self.store.turn():
            self.look()
            waiting: dict[str, str] = {}
            for key, trial_id in self._released.items():
                keys = self.plan.cursors[trial_id].keys
                way = keys[: keys.index(key) + 1] if key in keys else [key]
                if key in self.retention:
                    continue
                if self.others.want(way):
                    waiting[key] = trial_id
                elif not self.others.have(key):
                    self.store.delete_checkpoint(key)
            self._released = waiting

    def take(self, trial: Trial, for_worker: bool = False) -> None:
        """Write the trial's history as far as it is known, so that it says what was trained here and what taken.

        A worker reads it from the trial's own file, also where a merged one says the same.
        """
        cursor, there = self.plan.cursors[trial.id], self._histories.get(trial.id)
        keys_there: list[str] = there["epoch_key"].to_pylist() if there is not None else []
        if keys_there == cursor.keys and not for_worker:
            return
        if keys_there != cursor.keys[: len(keys_there)]:
            self.store.supersede(self.sweep, trial.id, there)
            there, keys_there = None, []
        rows: list[Row] = there.to_pylist() if there is not None else []
        recipe = trial.recipe
        for key in cursor.keys[len(rows) :]:
            rows.append(
                history.for_trial(
                    self.plan.known.row(key),
                    self.sweep,
                    trial.id,
                    recipe.optimizer_label,
                    recipe.schedule_label,
                    trial.seed,
                )
            )
        if rows:
            self.store.write_history(self.sweep, trial.id, rows)
        self._histories[trial.id] = history.table(rows)

    def start(self, trial: Trial) -> None:
        """The trial is about to run."""
        self.take(trial, for_worker=True)
        self._running[trial.id] = time.time()
        self._attempts[trial.id] = 0
        self._write_run()
        self.listener.started(trial)

    def retry(self, trial: Trial, reason: str) -> int:
        """Give the trial's worker up for `reason`; the number of the next attempt, the only one that may write.

        The worker may be out of reach, not dead, and come back with its epoch.
        """
        self._attempts[trial.id] += 1
        self._write_run()
        self.listener.say(f"{trial.id}: {reason}; it goes on from its newest checkpoint")
        return self._attempts[trial.id]

    def progress(self, trial: Trial, result: dict[str, Any]) -> None:
        """What the trial's worker says after a step. Raises StoreError, as all here do, also the worker's."""
        for note in result["notes"]:
            self.store.write_note(self.sweep, trial.id, note)
            self.listener.say(f"{trial.id}: {note}")
        row = result["row"]
        if row is not None:
            self._catch_up(trial, row["epoch_key"])
            self.outcome.again += result["again"]
            self._learn(trial, row)
        if result.get("store"):
            raise StoreError(result["failed"])
        if "failed" in result:
            self.end(trial, result["failed"])
        elif result["done"]:
            self.end(trial, None)
        with self._freeing.due() as due:
            if due and self._released:
                self._free()
        self.tick()

    def _learn(self, trial: Trial, row: Row) -> None:
        self.outcome.trained += 1
        moved = [self.by_id[i] for i in self.frontier.learn(trial.id, row)]
        self._released |= self.retention.update(moved, written={row["epoch_key"]: trial.id})
        self.listener.epoch(trial, row)
        for follower in moved[1:]:
            status = self.plan.cursors[follower.id].ending
            if status and not self.frontier.needs_start(follower.id):
                self.take(follower)
                self.listener.ended(follower, status, "")

    def _catch_up(self, trial: Trial, reported: str | None = None) -> None:
        """Learn the epochs that a worker has recorded, but died before it could report them."""
        cursor = self.plan.cursors[trial.id]
        if cursor.ending is not None or reported in (*cursor.keys, cursor.next_key):
            return
        for row in self.store.read_trial(self.sweep, trial.id):
            if cursor.ending is None and row["epoch_key"] == cursor.next_key != reported:
                self._learn(trial, row)

    def end(self, trial: Trial, failure: str | None) -> None:
        """The trial has left its worker."""
        if trial.id not in self._running:
            return
        self._catch_up(trial)
        del self._running[trial.id], self._attempts[trial.id]
        self.frontier.end(trial.id)
        self._write_run()
        if failure is not None:
            self.outcome.failed[trial.id] = failure
            self.store.write_failure(self.sweep, trial.id, failure)
            self.listener.ended(trial, "failed", failure)
            return
        self.store.clear_failure(self.sweep, trial.id)
        self.listener.ended(trial, self.plan.cursors[trial.id].ending or "failed", "")

    def _write_run(self) -> None:
        self.store.write_run(
            self.sweep,
            {"run": self.run, "running": self._running, "attempts": self._attempts, "since": self._since},
        )
