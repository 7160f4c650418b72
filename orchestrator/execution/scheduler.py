"""Which trial may start now: pure bookkeeping over walks, without Ray.

Every trial sits before the first epoch it would have to compute, also one that has ended and whose best model is
to be made again. Trials that sit before the same epoch have a common beginning: one of them trains it, the others
wait and move along with it, epoch by epoch, until their learning rates part. Then the next of them may start, from
the checkpoint of the epoch where they parted.

The one with the most left to compute starts first (Graham 1969, bounds on multiprocessing timing anomalies). That
is also the longest chain: a branch that waits has its whole way left from where it waits, whoever trains it. Of
those that have equally much left, one starts first whose program the next worker has compiled.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping

from orchestrator.execution.claims import Taken
from orchestrator.execution.warm_programs import TrainStep, Workers, programs
from orchestrator.planning import resource_estimates
from orchestrator.planning.plan import Plan
from orchestrator.spec.sweep import Resources
from orchestrator.spec.trials import Trial
from orchestrator.storage.history import EpochIndex, Row

Fits = Callable[[Resources, Counter[Resources]], bool]
"""Whether one more trial that needs the first fits beside those that run, counted by what they need."""

_Kind = tuple[Resources, TrainStep]
"""Trials that need the same and are trained with the same program; each kind has a queue."""


def anywhere(needs: Resources, running: Counter[Resources]) -> bool:
    return True


class Scheduler:
    """The trials of a plan that have work left, and where each of them sits."""

    def __init__(self, plan: Plan) -> None:
        """All unfinished trials of `plan`, none started."""
        self._plan = plan
        self._known: EpochIndex = plan.known
        self._trials: Mapping[str, Trial] = {t.id: t for t in plan.trials}
        self._cursors = plan.cursors
        self._work = resource_estimates.epoch_work(plan)
        self._waiting: dict[str, str] = {}
        self._running: dict[str, str] = {}
        self._taken: Counter[str] = Counter()
        self._occupied: Counter[Resources] = Counter()
        self._sitting: defaultdict[str, set[str]] = defaultdict(set)
        self._taken_elsewhere = Taken()
        self._held_back: set[str] = set()
        self._queues: defaultdict[_Kind, list[tuple[float, int, str, str]]] = defaultdict(list)
        self._workers = Workers()
        cycling = {t.id for t in plan.unfinished if plan.cursors[t.id].chain.momentum is not None}
        made = programs(plan.unfinished, cycling)
        self._kinds = {t.id: (t.recipe.settings.resources, made[t.id]) for t in plan.unfinished}
        self._order = {t.id: n for n, t in enumerate(plan.unfinished)}
        for trial_id in self._order:
            if not self._needs_nothing(trial_id):
                self._sit(trial_id)

    @property
    def exhausted(self) -> bool:
        """Whether every trial has been started or needs no start any more."""
        return not self._waiting

    def may_start(self, fits: Fits = anywhere) -> bool:
        """Whether there is a trial that may start and fits."""
        return bool(self._fronts(fits))

    def next(self, fits: Fits = anywhere) -> Trial | None:
        """The trial with the most left among those that may start and fit; it counts as started.

        None while all wait for running ones or for room.
        """
        kinds = self._fronts(fits)
        if not kinds:
            return None
        needs, compiled = kind = min(kinds, key=self._urgency)
        _, _, trial_id, place = heapq.heappop(self._queues[kind])
        self._workers.start(trial_id, needs, compiled)
        del self._waiting[trial_id]
        self._sitting[place].discard(trial_id)
        self._running[trial_id] = place
        self._taken[place] += 1
        self._occupied[needs] += 1
        return self._trials[trial_id]

    def _fronts(self, fits: Fits) -> list[_Kind]:
        """The kinds of which a trial may start and fits."""
        fitting = {needs for needs in {needs for needs, _ in self._queues} if fits(needs, self._occupied)}
        return [kind for kind in list(self._queues) if kind[0] in fitting and self._front(kind)]

    def learn(self, trial_id: str, row: Row) -> list[str]:
        """A running trial has computed the epoch in `row`, and its checkpoint is written.

        Every trial that waited for this epoch moves along. Returns all that moved, the running one first.
        """
        key = row["epoch_key"]
        self._known.add(row)
        followers = sorted(self._sitting.pop(self._named(trial_id, key), ()))
        for moved in [trial_id, *followers]:
            self._advance(moved, key)
        self._move(trial_id, self._place(trial_id))
        for follower in followers:
            self._settle(follower)
        return [trial_id, *followers]

    def discover(self, rows: Iterable[Row], checkpoints: Callable[[], set[str]]) -> dict[str, list[str]]:
        """Other runs have computed the epochs in `rows`, or some that were known and had no `checkpoints`.

        Trials that wait for them move along. Returns those, each with the epochs that it did not know.
        """
        for row in rows:
            self._known.add(row)
        passed: dict[str, list[str]] = {}
        if not self._plan.share:
            return passed
        behind = [
            (trial_id, place)
            for place, sitting in self._sitting.items()
            if place in self._known
            for trial_id in sorted(sitting)
        ]
        there = checkpoints() if behind else set()
        for trial_id, place in behind:
            cursor = self._cursors[trial_id]
            count = len(cursor.keys)
            if cursor.ending is None:
                cursor.extend(self._known)
            cursor.find_checkpoint(there, self._epochs(trial_id))
            if self._place(trial_id) != place:
                passed[trial_id] = cursor.keys[count:]
                self._sitting[place].discard(trial_id)
                self._settle(trial_id)
        return passed

    def hold_back(self, taken: Taken) -> None:
        """No trial starts at an epoch that may be `taken` by another run."""
        self._taken_elsewhere = taken
        held_back, self._held_back = self._held_back, set()
        for trial_id in held_back & self._waiting.keys():
            self._queue(trial_id)

    @property
    def places(self) -> dict[str, str]:
        """The epoch that each running trial computes, unless it only exports its best model."""
        computing = (i for i, place in self._running.items() if place != self._export(i))
        return {trial_id: self._cursors[trial_id].frontier for trial_id in computing}

    @property
    def waiting(self) -> set[str]:
        """The epochs that waiting trials would compute next."""
        computing = (i for i, place in self._waiting.items() if place != self._export(i))
        return {self._cursors[trial_id].frontier for trial_id in computing}

    def needs_start(self, trial_id: str) -> bool:
        """Whether the trial still waits for its start."""
        return trial_id in self._waiting

    def end(self, trial_id: str) -> None:
        """A running trial has ended, well or not; nobody waits for it any longer."""
        if trial_id in self._running:
            self._move(trial_id, None)
            needs, _ = self._kinds[trial_id]
            self._occupied[needs] -= 1
            self._workers.end(trial_id, needs)

    def _advance(self, trial_id: str, key: str) -> None:
        cursor = self._cursors[trial_id]
        if key in cursor.keys[cursor.resume :]:
            cursor.resume = cursor.keys.index(key) + 1
            return
        metrics = self._known.metrics(key)
        if metrics is not None and cursor.ending is None and key == cursor.next_key:
            cursor.append(key, metrics)
            cursor.resume = len(cursor.keys)
            if self._plan.share:
                cursor.extend(self._known)

    def _move(self, trial_id: str, place: str | None) -> None:
        """A running trial sits elsewhere now, or nowhere: who sits where it was may start."""
        before = self._running.pop(trial_id)
        self._taken[before] -= 1
        if not self._taken[before]:
            del self._taken[before]
        if place is not None:
            self._running[trial_id] = place
            self._taken[place] += 1
        if before not in self._taken:
            for sitting in self._sitting.get(before, ()):
                self._queue(sitting)

    def _settle(self, trial_id: str) -> None:
        """A waiting trial has moved."""
        if self._needs_nothing(trial_id):
            del self._waiting[trial_id]
        else:
            self._sit(trial_id)

    def _needs_nothing(self, trial_id: str) -> bool:
        return self._cursors[trial_id].ending is not None and not self._plan.sweep.save_best

    def _sit(self, trial_id: str) -> None:
        place = self._waiting[trial_id] = self._place(trial_id)
        self._sitting[place].add(trial_id)
        self._queue(trial_id)

    def _queue(self, trial_id: str) -> None:
        entry = (-self._left(trial_id), self._order[trial_id], trial_id, self._waiting[trial_id])
        heapq.heappush(self._queues[self._kinds[trial_id]], entry)

    def _urgency(self, kind: _Kind) -> tuple[float, int, int]:
        """Of the first in the queue of this kind; the least is the most urgent."""
        left, order, _, _ = self._queues[kind][0]
        return left, self._workers.misfit(*kind), order

    def _front(self, kind: _Kind) -> bool:
        """Whether somebody of this kind may start; then they are first in their queue.

        Who has moved on, and who waits for a running trial, is let go from the queue: they are queued anew when
        they move, and when that trial does.
        """
        queue = self._queues[kind]
        while queue:
            _, _, trial_id, place = queue[0]
            if self._waiting.get(trial_id) == place and place not in self._taken:
                if not self._is_elsewhere(trial_id, place):
                    return True
                self._held_back.add(trial_id)
            heapq.heappop(queue)
        del self._queues[kind]
        return False

    def _is_elsewhere(self, trial_id: str, place: str) -> bool:
        """Whether the epoch before which a trial sits may be computed by another run."""
        if not self._plan.share or place == self._export(trial_id):
            return False
        cursor = self._cursors[trial_id]
        before = cursor.keys[-1] if cursor.keys and cursor.resume == len(cursor.keys) else None
        return self._taken_elsewhere(place, before)

    def _place(self, trial_id: str) -> str:
        cursor = self._cursors[trial_id]
        if cursor.ending is not None and cursor.resume >= (self._epochs(trial_id) or 0):
            return self._export(trial_id)
        return self._named(trial_id, cursor.frontier)

    @staticmethod
    def _export(trial_id: str) -> str:
        return f"{trial_id}:export"

    def _epochs(self, trial_id: str) -> int | None:
        """How many epochs lead to a best model that is to be made again; None for all."""
        rebuild = self._plan.rebuilt.get(trial_id)
        return rebuild.epochs if rebuild else None

    def _named(self, trial_id: str, key: str) -> str:
        return key if self._plan.share else f"{trial_id}:{key}"

    def _left(self, trial_id: str) -> float:
        cursor = self._cursors[trial_id]
        end = cursor.chain.epochs if cursor.ending is None else self._epochs(trial_id) or 0
        return max(end - cursor.resume, 0) * self._work[trial_id]
