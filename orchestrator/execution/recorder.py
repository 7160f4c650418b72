"""What a run writes into the store while it goes on: histories, failures, notes, and the state of the run."""

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
from orchestrator.planning import race as races
from orchestrator.planning.checkpoint_retention import Retention, tidy
from orchestrator.planning.plan import Plan
from orchestrator.planning.race import RaceState
from orchestrator.spec.trials import Trial
from orchestrator.storage import history
from orchestrator.storage.filesystem import StoreError
from orchestrator.storage.history import Row
from orchestrator.storage.store import Store

LOOK_EVERY = 1.0
"""Seconds between two looks at the other runs in the store, at least."""
SHARE_OF_TIME = 20
"""Slow work that is done from time to time gets one part in so many of the time."""


class Pace:
    """When slow work is due again."""

    def __init__(self, least: float) -> None:
        """Due now, and then after `least` seconds or more."""
        self._least = least
        self._next = float("-inf")

    @contextmanager
    def due(self) -> Iterator[bool]:
        """Whether the work is due; it is done within this context, which measures it."""
        began = time.monotonic()
        if began < self._next:
            yield False
            return
        yield True
        ended = time.monotonic()
        self._next = ended + max(self._least, SHARE_OF_TIME * (ended - began))


def take_over(store: Store, sweep: str) -> None:
    """Name a new run in the sweep's run.json: from now on no worker of a former run writes. Raises StoreError.

    This happens within the sweep's lock and before the plan is made. Otherwise a worker that outlived its driver
    could record an epoch that the plan does not know.
    """
    store.create()
    store.write_run(sweep, {"run": uuid4().hex, "running": {}, "attempts": {}, "since": time.time()})


class RunRecorder:
    """Writes down what happens in a run of a plan, and tells the listener.

    It records the histories of reused epochs, failures, notes and the state of the run. The workers record the
    epochs that they train. The scheduler has all that moves; the plan stays as it was made.
    """

    def __init__(self, plan: Plan, store: Store, listener: Listener, look_every: float = LOOK_EVERY) -> None:
        """A recorder of one run of `plan`; it looks at the other runs after `look_every` seconds or more."""
        self.plan, self.store, self.listener = plan, store, listener
        self.sweep = plan.sweep.name
        self.run = uuid4().hex
        self.outcome = Outcome(plan)
        self.scheduler = Scheduler(plan)
        self.retention = Retention(plan, self.scheduler.cursors)
        self.others = OtherSweeps(store, self.sweep, plan.histories)
        self.by_id = {t.id: t for t in plan.all_trials}
        self.race = plan.race
        self.fatal: StoreError | None = None
        self.spent = plan.spent
        self._histories: dict[str, pa.Table] = {}
        self._running: dict[str, float] = {}
        self._ended: set[str] = set()
        self._fencing_tokens: dict[str, int] = {}
        self._since = time.time()
        self._paused = False
        self._released: dict[str, str] = {}
        self._awaited_sweeps = ""
        self._looking, self._freeing = Pace(look_every), Pace(0.0)

    def open(self) -> None:
        """Write into the store what the plan knows, before anything is trained."""
        self.store.create()
        self._write_run()
        self.others.begin()
        for damage in self.plan.damaged:
            name = self.store.set_aside(damage)
            self.listener.say(f"{damage.reason}; set aside as {name}, what it held is made again")
        self.store.write_sweep(self.sweep, self.plan.sweep.document)
        self._histories = dict(self.plan.history)
        for trial_id in sorted(self._histories.keys() - self.by_id.keys()):
            self.store.supersede(self.sweep, trial_id, self._histories[trial_id])
        for trial in self.plan.trials:
            self.write_known_epochs(trial)
        if self.plan.rebuilt:
            self.listener.say(
                f"{len(self.plan.rebuilt)} best models are missing and so are their checkpoints: the epochs that "
                "lead to them are computed again"
            )
        with self.store.turn():  # no run frees checkpoints meanwhile; some may be gone since the plan was made
            self.scheduler = Scheduler(self.plan, self.store.checkpoints.complete(), self._affordable)
            self.retention = Retention(self.plan, self.scheduler.cursors)
            self.listener.began(self.plan, self.scheduler.cursors)
            self.look()
            self._follow_race()

    def close(self) -> None:
        """Clean up after a run that came to its end."""
        self._free()
        self.store.drop_claims(self.sweep)
        cursors = self.scheduler.cursors
        self.store.compact(
            self.sweep, {trial_id for trial_id in self.by_id if cursors[trial_id].ending is not None}
        )
        self._running.clear()
        self._fencing_tokens.clear()
        self._write_run()
        tidy(self.plan, cursors, self.store)

    def next(self, fits: Fits = anywhere) -> Trial | None:
        """The trial to start next, which counts as running; None while all wait. Raises StoreError.

        While other sweeps run, one run at a time chooses: no run may start an epoch that another computes.
        """
        if not self.scheduler.may_start(fits):
            self.tick()
            self._say_which_sweeps_are_awaited()
            return None
        if not self.others.running:
            self.look()
        trial = None
        if not self.others.running:
            trial = self.scheduler.next(fits)
        else:
            with self.store.turn():
                self.look()
                trial = self.scheduler.next(fits)
                self._publish()
        if trial is not None:
            self._awaited_sweeps = ""
            self.start(trial)
        return trial

    def _say_which_sweeps_are_awaited(self) -> None:
        if self._running or self._awaited_sweeps or not self.others.running or self.scheduler.exhausted:
            return
        if self.others.claimed().unknown:  # a moment later it is known whether there is anything to wait for
            return
        self._awaited_sweeps = ", ".join(sorted(self.others.running))
        self.listener.say(
            f"{self.sweep} waits for {self._awaited_sweeps}: what is left here is being trained there"
        )

    def tick(self) -> None:
        """Look at the other runs from time to time. Raises StoreError."""
        with self._looking.due() as due:
            if due:
                self.look()

    def look(self) -> None:
        """Read what other runs do now, reuse what they have computed, and publish what this run does and needs."""
        changed = self.others.look()
        if changed or self.others.running:
            self._discover(changed)
        self.scheduler.hold_back(self.others.claimed())
        self._publish()

    def _discover(self, changed: Sequence[pa.Table]) -> None:
        """Reuse the epochs in histories of other sweeps that have `changed`, and their checkpoints."""
        rows = [row for table in changed for row in self.scheduler.known.missing(table)]
        checkpoints = functools.cache(self.store.checkpoints.complete)
        new_keys = self.scheduler.discover(rows, checkpoints)
        advanced = [self.by_id[trial_id] for trial_id in new_keys]
        written = {key: trial_id for trial_id, keys in new_keys.items() for key in keys if key in checkpoints()}
        self._released |= self.retention.update(advanced, written=written)
        for trial in advanced:
            self._end_if_done(trial)
        if advanced:
            self._follow_race()

    def _follow_race(self) -> None:
        """Decide the race from what is known now, and start waiting what it asks for. Raises StoreError."""
        settings, cursors = self.plan.sweep.race, self.scheduler.cursors
        if settings is None:
            return
        trials = [self.by_id[trial_id] for trial_id in cursors]
        checkpoints = functools.cache(self.store.checkpoints.complete)
        known = -1
        while known != (known := sum(cursor.ending is not None for cursor in cursors.values())):
            race = races.state(settings, self.plan.sweep.margin, trials, cursors, self.outcome.failed)
            self._tell(race)
            entered = [self.by_id[trial_id] for trial_id in self.scheduler.follow(race, checkpoints)]
            self._released |= self.retention.update(entered)
            for trial in entered:
                self._end_if_done(trial)

    def _tell(self, race: RaceState) -> None:
        """Say which recipes have left the race, and why it is over."""
        before, self.race = self.race, race
        for label, leaving in race.left.items():
            if before is None or label not in before.left:
                better = f" {leaving.better}" if leaving.better else ""
                self.listener.say(f"{label} leaves the race after {leaving.seeds} seeds: {leaving.reason}{better}")
        if race.over and (before is None or not before.over):
            reasons = ", ".join(dict.fromkeys(race.ended.values()))
            self.listener.say(f"the race is over after {race.seeds} seeds: {reasons}")

    def _end_if_done(self, trial: Trial) -> None:
        """Record a trial that waits no more because other trials' epochs have brought it to its end.

        A trial that ran ahead of a race may be running or recorded already when it is asked for.
        """
        status = self.scheduler.cursors[trial.id].ending
        if status and not self.scheduler.waits(trial.id) and trial.id not in self._running.keys() | self._ended:
            self.write_known_epochs(trial)
            self._say_ended(trial, status)

    def _say_ended(self, trial: Trial, status: str, reason: str = "") -> None:
        self._ended.add(trial.id)
        self.listener.ended(trial, status, reason)

    def _publish(self) -> None:
        if self.others.running:
            self.others.publish(self.scheduler.computing, self.scheduler.upcoming, self.retention)

    def _free(self) -> None:
        """Free the released checkpoints that neither a trial here nor another sweep needs.

        A checkpoint that a running sweep may need is tried again later. One that another sweep holds on record is
        that sweep's to free.
        """
        with self.store.turn():
            self.look()
            needed_elsewhere: dict[str, str] = {}
            for key, trial_id in self._released.items():
                keys = self.scheduler.cursors[trial_id].keys
                way = keys[: keys.index(key) + 1] if key in keys else [key]
                if key in self.retention:
                    continue
                if self.others.may_need(way):
                    needed_elsewhere[key] = trial_id
                elif not self.others.hold(key):
                    self.store.checkpoints.delete(key)
            self._released = needed_elsewhere

    def write_known_epochs(self, trial: Trial, for_worker: bool = False) -> None:
        """Write the trial's history as far as it is known; epochs of other trials are marked as reused.

        A worker reads the trial's own file, so `for_worker` writes it also where a merged file says the same.
        """
        cursor, recorded = self.scheduler.cursors[trial.id], self._histories.get(trial.id)
        recorded_keys: list[str] = recorded["epoch_key"].to_pylist() if recorded is not None else []
        if recorded_keys == cursor.keys and not for_worker:
            return
        if recorded_keys != cursor.keys[: len(recorded_keys)]:
            self.store.supersede(self.sweep, trial.id, recorded)
            recorded = None
        rows: list[Row] = recorded.to_pylist() if recorded is not None else []
        recipe = trial.recipe
        for key in cursor.keys[len(rows) :]:
            rows.append(
                history.for_trial(
                    self.scheduler.known.row(key),
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
        self.write_known_epochs(trial, for_worker=True)
        self._running[trial.id] = time.time()
        self._fencing_tokens[trial.id] = 0
        self._write_run()
        self.listener.started(trial)

    def retry(self, trial: Trial, reason: str) -> int:
        """The trial's worker has failed for `reason`; the fencing token of the next worker.

        Only a worker with the newest token may write. A failed worker may be out of reach, not dead, and come back
        with its epoch.
        """
        self._fencing_tokens[trial.id] += 1
        self._write_run()
        self.listener.say(f"{trial.id}: {reason}; it goes on from its newest checkpoint")
        return self._fencing_tokens[trial.id]

    def progress(self, trial: Trial, result: dict[str, Any]) -> None:
        """The trial's worker has made a step, with this `result` of `TrialRun.advance`. Raises StoreError.

        Where the worker could not use the store, its StoreError is raised here.
        """
        for note in result["notes"]:
            self.store.write_note(self.sweep, trial.id, note)
            self.listener.say(f"{trial.id}: {note}")
        row = result["row"]
        if row is not None:
            self._learn_unreported(trial, row["epoch_key"])
            self.outcome.recomputed += result["recomputed"]
            self._learn(trial, row)
        if result.get("store"):
            raise StoreError(result["failed"])
        if "failed" in result:
            self.end(trial, result["failed"])
        elif result["done"]:
            self._learn_unreported(trial)  # a worker that died may have recorded the last epoch
            if self.scheduler.cursors[trial.id].ending is None:
                self._pause(trial)
            else:
                self.end(trial, None)
        with self._freeing.due() as due:
            if due and self._released:
                self._free()
        self.tick()

    def _learn(self, trial: Trial, row: Row) -> None:
        """The trial has trained the epoch in `row`; the trials that waited for it advance too."""
        self.outcome.trained += 1
        self.spent += self._cost(trial, row)
        advanced = [self.by_id[i] for i in self.scheduler.learn(trial.id, row)]
        self._released |= self.retention.update(advanced, written={row["epoch_key"]: trial.id})
        self.listener.epoch(trial, row)
        for follower in advanced[1:]:
            self._end_if_done(follower)
        if any(self.scheduler.cursors[follower.id].ending for follower in advanced[1:]):
            self._follow_race()

    def _cost(self, trial: Trial, row: Row) -> float:
        budget, resources = self.plan.sweep.budget, trial.recipe.settings.resources
        return budget.cost(row["seconds"], resources.cpus_per_trial, resources.gpus_per_trial) if budget else 0.0

    def _may_spend(self, spent: float, in_training: int) -> bool:
        """Whether the budget buys one more epoch after `spent`, beside the `in_training` ones that are being
        trained.
        """
        budget = self.plan.sweep.budget
        return budget is None or spent + (in_training if budget.epochs is not None else 0) < budget.total

    @property
    def budget_is_spent(self) -> bool:
        """Whether no trial may start any more."""
        return not self._may_spend(self.spent, len(self._running))

    def _affordable(self, trial_id: str) -> bool:
        """Whether the budget buys an epoch of the trial after all that trials of earlier turns have left."""
        if self.plan.sweep.budget is None:
            return True
        return self._may_spend(self.spent, max(self.scheduler.reserved(trial_id), len(self._running)))

    def must_pause(self, trial: Trial, row: Row | None) -> bool:
        """Whether a running trial leaves its worker after the epoch in `row`, since the budget is spent.

        Tune asks before it reports the epoch.
        """
        unreported = 0.0 if row is None or row["epoch_key"] in self.scheduler.known else self._cost(trial, row)
        if self.plan.sweep.budget is None:
            return False
        others = max(len(self._running) - 1, self.scheduler.reserved(trial.id))
        return not self._may_spend(self.spent + unreported, others)

    def _pause(self, trial: Trial) -> None:
        """The trial has left its worker before its end, since the budget is spent."""
        if not self._paused and self.plan.sweep.budget is not None:
            self.listener.say(f"the budget of {self.plan.sweep.budget.text} is spent; what is unfinished stays so")
        self._paused = True
        del self._running[trial.id], self._fencing_tokens[trial.id]
        self.scheduler.end(trial.id)
        self._write_run()

    def _learn_unreported(self, trial: Trial, reported: str | None = None) -> None:
        """Learn the epochs that a worker recorded before it died, without a report of them."""
        cursor = self.scheduler.cursors[trial.id]
        if cursor.ending is not None or reported in (*cursor.keys, cursor.next_key):
            return
        for row in self.store.read_trial(self.sweep, trial.id):
            if cursor.ending is None and row["epoch_key"] == cursor.next_key != reported:
                self._learn(trial, row)

    def end(self, trial: Trial, failure: str | None) -> None:
        """The trial has left its worker; `failure` says why where it failed."""
        if trial.id not in self._running:
            return
        self._learn_unreported(trial)
        del self._running[trial.id], self._fencing_tokens[trial.id]
        self.scheduler.end(trial.id)
        self._write_run()
        if failure is not None:
            self.outcome.failed[trial.id] = failure
            self.store.write_failure(self.sweep, trial.id, failure)
            self._say_ended(trial, "failed", failure)
        else:
            self.store.clear_failure(self.sweep, trial.id)
            self._say_ended(trial, self.scheduler.cursors[trial.id].ending or "failed")
        self._follow_race()

    def _write_run(self) -> None:
        self.store.write_run(
            self.sweep,
            {"run": self.run, "running": self._running, "attempts": self._fencing_tokens, "since": self._since},
        )
