"""Which trial may start now, and how far each trial is: everything of a run that moves. No Ray.

Every trial has a position: the key of the epoch that it computes next, or its export. A trial that has ended
without its best model has a position too. Trials at the same position share a beginning: one of them trains, the
others wait. They follow it epoch by epoch until their learning rates differ. Then the next of them may start, from
the checkpoint of their last common epoch.

The trial with the most work left starts first (Graham 1969, bounds on multiprocessing timing anomalies). That is
also the longest chain: a waiting branch has all of its work left from its position. Among trials with equal work
left, one starts first whose train step the next worker has compiled.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

from orchestrator.execution.claims import ClaimedEpochs
from orchestrator.execution.warm_workers import TrainStep, Workers, train_steps
from orchestrator.planning import resource_estimates
from orchestrator.planning.epoch_chain import ChainCursor
from orchestrator.planning.plan import Plan
from orchestrator.planning.race import RaceState
from orchestrator.spec.sweep import Resources
from orchestrator.spec.trials import Trial
from orchestrator.storage.history import GrowingIndex, Row

Fits = Callable[[Resources, Counter[Resources]], bool]
"""Whether one more trial with the first needs fits beside the running ones, counted by their needs."""

AHEAD = 1_000_000
"""The turn of trials that run ahead of a race's decisions: after all others."""

_Kind = tuple[Resources, TrainStep]
"""Trials with the same needs and the same train step; each kind has a queue."""


def anywhere(needs: Resources, running: Counter[Resources]) -> bool:
    """A machine without limits: every trial fits."""
    return True


class Scheduler:
    """The state of a run: a cursor for each trial of a plan, the epochs known so far, who runs and who waits.

    The plan stays as it was made: the scheduler advances copies of its cursors.
    """

    def __init__(
        self,
        plan: Plan,
        checkpoints: Collection[str] | None = None,
        affordable: Callable[[str], bool] = lambda trial_id: True,
    ) -> None:
        """All unfinished trials of `plan`, none started.

        `checkpoints` are the keys of all checkpoints now, where the plan may be older. A trial starts only while
        it is `affordable`; where one is not, none of a later turn is.
        """
        self._affordable = affordable
        self._plan = plan
        self.known = GrowingIndex(plan.known)
        self.cursors: Mapping[str, ChainCursor] = {i: cursor.copy() for i, cursor in plan.cursors.items()}
        self._trials: Mapping[str, Trial] = {t.id: t for t in plan.all_trials}
        self._seeds = plan.sweep.seeds
        self._ahead: set[str] = set()
        self._asked_for = {t.id for t in plan.trials}
        self._race_goes_on = False
        self._work = resource_estimates.epoch_work(plan)
        self._waiting: dict[str, str] = {}
        self._running: dict[str, str] = {}
        self._in_training: Counter[str] = Counter()
        self._occupied: Counter[Resources] = Counter()
        self._waiting_at: defaultdict[str, set[str]] = defaultdict(set)
        self._claimed = ClaimedEpochs()
        self._held_back: set[str] = set()
        self._queues: defaultdict[_Kind, list[tuple[int, float, int, str, str]]] = defaultdict(list)
        self._workers = Workers()
        if checkpoints is not None:
            for trial in plan.unfinished:
                self.cursors[trial.id].find_checkpoint(checkpoints, self._epochs_to_export(trial.id))
        startable = plan.may_run
        cycling = {t.id for t in startable if plan.cursors[t.id].chain.momentum is not None}
        steps = train_steps(startable, cycling)
        self._kinds = {t.id: (t.recipe.settings.resources, steps[t.id]) for t in startable}
        self._order = {t.id: n for n, t in enumerate(startable)}
        for trial in plan.unfinished:
            if not self._is_done(trial.id):
                self._wait(trial.id)

    @property
    def exhausted(self) -> bool:
        """Whether every trial has been started or needs no start any more."""
        return not self._waiting and not (self._race_goes_on and self._running)

    def follow(self, race: RaceState, checkpoints: Callable[[], set[str]]) -> list[str]:
        """Let the trials wait that `race` asks for; those ahead of its decisions start only when no other can.

        Trials that waited ahead of a decision which went against their recipe wait no longer. Returns the trials
        that were in reserve and are not any more, in their order; some may be known to their end.
        """
        self._race_goes_on = not race.over
        entered = []
        for trial_id in self._order:
            ahead, asked_for = trial_id in self._ahead, trial_id in race.admitted
            if trial_id not in self._asked_for:
                if asked_for or (trial_id in race.ahead and self._is_open(trial_id)):
                    self._ahead |= set() if asked_for else {trial_id}
                    self._enter(trial_id, checkpoints)
                    entered.append(trial_id)
            elif ahead and asked_for:
                self._ahead.discard(trial_id)
                if trial_id in self._waiting:
                    self._queue(trial_id)
            elif ahead and trial_id not in race.ahead and trial_id in self._waiting:
                self._ahead.discard(trial_id)
                self._asked_for.discard(trial_id)
                self._waiting_at[self._waiting.pop(trial_id)].discard(trial_id)
        return entered

    def _is_open(self, trial_id: str) -> bool:
        return self.cursors[trial_id].ending is None

    def _enter(self, trial_id: str, checkpoints: Callable[[], set[str]]) -> None:
        """A trial in reserve waits from now on, after all that is known of it."""
        self._asked_for.add(trial_id)
        cursor = self.cursors[trial_id]
        if self._plan.share and cursor.ending is None:
            cursor.extend(self.known)
        cursor.find_checkpoint(checkpoints(), self._epochs_to_export(trial_id))
        if not self._is_done(trial_id):
            self._wait(trial_id)

    def may_start(self, fits: Fits = anywhere) -> bool:
        """Whether there is a trial that may start and fits."""
        return bool(self._startable(fits))

    def next(self, fits: Fits = anywhere) -> Trial | None:
        """The trial with the most work left among those that may start and fit; it counts as started.

        None while all wait for running trials or for free resources.
        """
        kinds = self._startable(fits)
        if not kinds:
            return None
        needs, step = kind = min(kinds, key=self._urgency)
        *_, trial_id, position = heapq.heappop(self._queues[kind])
        self._workers.start(trial_id, needs, step)
        del self._waiting[trial_id]
        self._waiting_at[position].discard(trial_id)
        self._running[trial_id] = position
        self._in_training[position] += 1
        self._occupied[needs] += 1
        return self._trials[trial_id]

    def _startable(self, fits: Fits) -> list[_Kind]:
        """The kinds of which a trial may start and fits."""
        fitting = {needs for needs in {needs for needs, _ in self._queues} if fits(needs, self._occupied)}
        startable = [kind for kind in list(self._queues) if kind[0] in fitting and self._bring_forward(kind)]
        return [kind for kind in startable if self._affordable(self._queues[kind][0][3])]

    def reserved(self, trial_id: str) -> int:
        """The epochs that trials of earlier turns have left, which a budget buys before those of this trial."""
        turn = self._round(trial_id)
        return sum(
            self.cursors[other].chain.epochs - len(self.cursors[other].keys)
            for other in (*self._waiting, *self._running)
            if self._round(other) < turn and self.cursors[other].ending is None
        )

    def learn(self, trial_id: str, row: Row) -> list[str]:
        """A running trial has computed the epoch in `row`, and its checkpoint is written.

        Every trial that waited for this epoch advances too. Returns all that advanced, the running one first.
        """
        key = row["epoch_key"]
        self.known.add(row)
        followers = sorted(self._waiting_at.pop(self._position_of(trial_id, key), ()))
        for advancing in [trial_id, *followers]:
            self._advance(advancing, key)
        self._move(trial_id, self._position(trial_id))
        for follower in followers:
            self._wait_or_finish(follower)
        return [trial_id, *followers]

    def discover(self, rows: Iterable[Row], checkpoints: Callable[[], set[str]]) -> dict[str, list[str]]:
        """Other runs have computed the epochs in `rows`, or written `checkpoints` of known epochs.

        Trials that wait for these epochs advance. Returns those trials, each with the epochs that are new to it.
        """
        for row in rows:
            self.known.add(row)
        advanced: dict[str, list[str]] = {}
        if not self._plan.share:
            return advanced
        behind = [
            (trial_id, position)
            for position, trial_ids in self._waiting_at.items()
            if position in self.known
            for trial_id in sorted(trial_ids)
        ]
        keys = checkpoints() if behind else set()
        for trial_id, position in behind:
            cursor = self.cursors[trial_id]
            count = len(cursor.keys)
            if cursor.ending is None:
                cursor.extend(self.known)
            cursor.find_checkpoint(keys, self._epochs_to_export(trial_id))
            if self._position(trial_id) != position:
                advanced[trial_id] = cursor.keys[count:]
                self._waiting_at[position].discard(trial_id)
                self._wait_or_finish(trial_id)
        return advanced

    def hold_back(self, claimed: ClaimedEpochs) -> None:
        """No trial starts at an epoch that is `claimed` by another run."""
        self._claimed = claimed
        held_back, self._held_back = self._held_back, set()
        for trial_id in held_back & self._waiting.keys():
            self._queue(trial_id)

    @property
    def computing(self) -> dict[str, str]:
        """The key of the epoch that each running trial computes; trials that only export are left out."""
        training = (i for i, position in self._running.items() if position != self._export(i))
        return {trial_id: self.cursors[trial_id].training_key for trial_id in training}

    @property
    def upcoming(self) -> set[str]:
        """The keys of the epochs that waiting trials compute next."""
        training = (i for i, position in self._waiting.items() if position != self._export(i))
        return {self.cursors[trial_id].training_key for trial_id in training}

    def waits(self, trial_id: str) -> bool:
        """Whether the trial still waits for its start."""
        return trial_id in self._waiting

    def end(self, trial_id: str) -> None:
        """A running trial has ended, well or not; no trial waits for it any longer."""
        if trial_id in self._running:
            self._move(trial_id, None)
            needs, _ = self._kinds[trial_id]
            self._occupied[needs] -= 1
            self._workers.end(trial_id, needs)

    def _advance(self, trial_id: str, key: str) -> None:
        """The epoch `key` of the trial has a record and a checkpoint now."""
        cursor = self.cursors[trial_id]
        if key in cursor.keys[cursor.resume :]:
            cursor.resume = cursor.keys.index(key) + 1
            return
        metrics = self.known.metrics(key)
        if metrics is not None and cursor.ending is None and key == cursor.next_key:
            cursor.append(key, metrics)
            cursor.resume = len(cursor.keys)
            if self._plan.share:
                cursor.extend(self.known)

    def _move(self, trial_id: str, position: str | None) -> None:
        """A running trial has a new position, or none; trials that wait at its old one may start."""
        before = self._running.pop(trial_id)
        self._in_training[before] -= 1
        if not self._in_training[before]:
            del self._in_training[before]
        if position is not None:
            self._running[trial_id] = position
            self._in_training[position] += 1
        if before not in self._in_training:
            for waiting in self._waiting_at.get(before, ()):
                self._queue(waiting)

    def _wait_or_finish(self, trial_id: str) -> None:
        """A waiting trial has advanced."""
        if self._is_done(trial_id):
            del self._waiting[trial_id]
        else:
            self._wait(trial_id)

    def _is_done(self, trial_id: str) -> bool:
        """Whether the trial needs no worker any more."""
        return self.cursors[trial_id].ending is not None and not self._plan.sweep.save_best

    def _wait(self, trial_id: str) -> None:
        """The trial waits at its position."""
        position = self._waiting[trial_id] = self._position(trial_id)
        self._waiting_at[position].add(trial_id)
        self._queue(trial_id)

    def _queue(self, trial_id: str) -> None:
        order, position = self._order[trial_id], self._waiting[trial_id]
        entry = (self._round(trial_id), -self._work_left(trial_id), order, trial_id, position)
        heapq.heappush(self._queues[self._kinds[trial_id]], entry)

    def _round(self, trial_id: str) -> int:
        """What comes first: trials ahead of a race come last, and a budget buys one seed of each recipe after
        another.
        """
        if trial_id in self._ahead:
            return AHEAD
        return self._seeds.index(self._trials[trial_id].seed) if self._plan.sweep.budget else 0

    def _urgency(self, kind: _Kind) -> tuple[int, float, int, int]:
        """The rank of the first trial in this kind's queue; the smallest rank starts first."""
        turn, work, order, _, _ = self._queues[kind][0]
        return turn, work, self._workers.mismatch(*kind), order

    def _bring_forward(self, kind: _Kind) -> bool:
        """Whether a trial of this kind may start; that trial is then the first of its queue.

        Entries of trials that may not start are dropped. A trial is queued again when it moves, and when the
        running trial moves for which it waits.
        """
        queue = self._queues[kind]
        while queue:
            turn, _, _, trial_id, position = queue[0]
            current = self._waiting.get(trial_id) == position and turn == self._round(trial_id)
            if current and position not in self._in_training:
                if not self._is_claimed(trial_id, position):
                    return True
                self._held_back.add(trial_id)
            heapq.heappop(queue)
        del self._queues[kind]
        return False

    def _is_claimed(self, trial_id: str, position: str) -> bool:
        """Whether another run may compute the epoch at which the trial waits."""
        if not self._plan.share or position == self._export(trial_id):
            return False
        cursor = self.cursors[trial_id]
        before = cursor.keys[-1] if cursor.keys and cursor.resume == len(cursor.keys) else None
        return self._claimed.covers(position, before)

    def _position(self, trial_id: str) -> str:
        """Where the trial is: the key of the epoch that it computes next, or its export."""
        cursor = self.cursors[trial_id]
        if cursor.ending is not None and cursor.resume >= (self._epochs_to_export(trial_id) or 0):
            return self._export(trial_id)
        return self._position_of(trial_id, cursor.training_key)

    @staticmethod
    def _export(trial_id: str) -> str:
        return f"{trial_id}:export"

    def _epochs_to_export(self, trial_id: str) -> int | None:
        """How many epochs lead to a best model that is computed again; None where there is no such model."""
        rebuild = self._plan.rebuilt.get(trial_id)
        return rebuild.epochs if rebuild else None

    def _position_of(self, trial_id: str, key: str) -> str:
        """The position at the epoch `key`; trials that share nothing have positions of their own."""
        return key if self._plan.share else f"{trial_id}:{key}"

    def _work_left(self, trial_id: str) -> float:
        cursor = self.cursors[trial_id]
        end = cursor.chain.epochs if cursor.ending is None else self._epochs_to_export(trial_id) or 0
        return max(end - cursor.resume, 0) * self._work[trial_id]
