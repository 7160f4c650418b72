"""Which trial may start now: pure bookkeeping over walks, without Ray.

Every trial sits before the first epoch it would have to compute. Trials that sit before the same epoch have a
common beginning: one of them trains it, the others wait and move along with it, epoch by epoch, until their
learning rates part. Then the next of them may start, from the checkpoint of the epoch where they parted.

The one with the most left to compute starts first (Graham 1969, bounds on multiprocessing timing anomalies). That
is also the longest chain: a branch that waits has its whole way left from where it waits, whoever trains it. Of
those that have equally much left, one starts first whose program the next worker has compiled.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

from orchestrator import demand
from orchestrator.grid import Trial
from orchestrator.plan import Plan
from orchestrator.programs import Program, Workers, programs
from orchestrator.records import Known, Row
from orchestrator.sweep import Resources

Fits = Callable[[Resources, Counter[Resources]], bool]
"""Whether one more trial that needs the first fits beside those that run, counted by what they need."""

_Kind = tuple[Resources, Program]
"""Trials that need the same and are trained with the same program; each kind has a queue."""


def _anywhere(needs: Resources, running: Counter[Resources]) -> bool:
    return True


class Frontier:
    """The trials of a plan that have work left, and where each of them sits."""

    def __init__(self, plan: Plan) -> None:
        """All unfinished trials of `plan`, none started."""
        self._plan = plan
        self._known: Known = plan.known
        self._trials: Mapping[str, Trial] = {t.id: t for t in plan.trials}
        self._walks = plan.walks
        self._work = demand.epoch_work(plan)
        self._waiting: dict[str, str] = {}
        self._running: dict[str, str] = {}
        self._taken: Counter[str] = Counter()
        self._occupied: Counter[Resources] = Counter()
        self._sitting: defaultdict[str, set[str]] = defaultdict(set)
        self._queues: defaultdict[_Kind, list[tuple[float, int, str, str]]] = defaultdict(list)
        self._workers = Workers()
        cycling = {t.id for t in plan.unfinished if plan.walks[t.id].chain.momentum is not None}
        made = programs(plan.unfinished, cycling)
        self._kinds = {t.id: (t.recipe.settings.resources, made[t.id]) for t in plan.unfinished}
        self._order = {t.id: n for n, t in enumerate(plan.unfinished)}
        for trial_id in self._order:
            self._sit(trial_id)

    @property
    def exhausted(self) -> bool:
        """Whether every trial has been started or needs no start any more."""
        return not self._waiting

    def next(self, fits: Fits = _anywhere) -> Trial | None:
        """The trial with the most left among those that may start and fit; it counts as started.

        None while all wait for running ones or for room.
        """
        fitting = {needs for needs in {needs for needs, _ in self._queues} if fits(needs, self._occupied)}
        kinds = [kind for kind in list(self._queues) if kind[0] in fitting and self._front(kind)]
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
            if self._walks[follower].ending is not None and not self._plan.sweep.save_best:
                del self._waiting[follower]
            else:
                self._sit(follower)
        return [trial_id, *followers]

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
        walk = self._walks[trial_id]
        if key in walk.keys[walk.resume :]:
            walk.resume = walk.keys.index(key) + 1
            return
        metrics = self._known.metrics(key)
        if metrics is not None and walk.ending is None and key == walk.next_key:
            walk.append(key, metrics)
            walk.resume = len(walk.keys)
            if self._plan.share:
                walk.extend(self._known)

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
                return True
            heapq.heappop(queue)
        del self._queues[kind]
        return False

    def _place(self, trial_id: str) -> str:
        walk = self._walks[trial_id]
        if walk.ending is not None:
            return f"{trial_id}:export"
        return self._named(trial_id, walk.frontier)

    def _named(self, trial_id: str, key: str) -> str:
        return key if self._plan.share else f"{trial_id}:{key}"

    def _left(self, trial_id: str) -> float:
        walk = self._walks[trial_id]
        epochs = 0 if walk.ending is not None else walk.chain.epochs - walk.resume
        return epochs * self._work[trial_id]
