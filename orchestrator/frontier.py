"""Which trial may start now: pure bookkeeping over walks, without Ray.

Every trial sits before the first epoch it would have to compute. Trials that sit before the same epoch have a
common beginning: one of them trains it, the others wait and move along with it, epoch by epoch, until their
learning rates part. Then the next of them may start, from the checkpoint of the epoch where they parted.
"""

from collections import defaultdict
from collections.abc import Mapping

from orchestrator.grid import Trial
from orchestrator.plan import Plan
from orchestrator.records import Known, Row


class Frontier:
    """The trials of a plan that have work left, and where each of them sits."""

    def __init__(self, plan: Plan) -> None:
        """All unfinished trials of `plan`, none started."""
        self._plan = plan
        self._known: Known = plan.known
        self._trials: Mapping[str, Trial] = {t.id: t for t in plan.trials}
        self._walks = plan.walks
        self._waiting = dict.fromkeys(t.id for t in sorted(plan.unfinished, key=self._left, reverse=True))
        self._running: dict[str, str] = {}
        self._sitting: defaultdict[str, set[str]] = defaultdict(set)
        for trial_id in self._waiting:
            self._sit(trial_id)

    @property
    def exhausted(self) -> bool:
        """Whether every trial has been started or needs no start any more."""
        return not self._waiting

    @property
    def running(self) -> list[str]:
        """The trials that have been started and not ended."""
        return list(self._running)

    def next(self) -> Trial | None:
        """A trial that may start, longest first; it counts as started. None while all wait for running ones."""
        taken = set(self._running.values())
        for trial_id in self._waiting:
            place = self._place(trial_id)
            if place not in taken:
                del self._waiting[trial_id]
                self._sitting[place].discard(trial_id)
                self._running[trial_id] = place
                return self._trials[trial_id]
        return None

    def learn(self, trial_id: str, row: Row) -> list[str]:
        """A running trial has computed the epoch in `row`, and its checkpoint is written.

        Every trial that waited for this epoch moves along. Returns all that moved, the running one first.
        """
        key = row["epoch_key"]
        self._known.add(row)
        followers = sorted(self._sitting.pop(self._named(trial_id, key), ()))
        for moved in [trial_id, *followers]:
            self._advance(moved, key)
        self._running[trial_id] = self._place(trial_id)
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
        self._running.pop(trial_id, None)

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

    def _sit(self, trial_id: str) -> None:
        self._sitting[self._place(trial_id)].add(trial_id)

    def _place(self, trial_id: str) -> str:
        walk = self._walks[trial_id]
        if walk.ending is not None:
            return f"{trial_id}:export"
        return self._named(trial_id, walk.frontier)

    def _named(self, trial_id: str, key: str) -> str:
        return key if self._plan.share else f"{trial_id}:{key}"

    def _left(self, trial: Trial) -> int:
        walk = self._walks[trial.id]
        return 0 if walk.ending is not None else walk.chain.epochs - walk.resume
