"""Which checkpoints are still needed, and by whom; the rest are freed.

A trial holds the checkpoint it would go on from (an unfinished one to resume or to branch, a finished one to be
extended) and the one of its best epoch. That is all: disk use does not grow with the number of epochs.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from orchestrator.grid import Trial
from orchestrator.plan import Plan
from orchestrator.records import Known
from orchestrator.store import Store


class Retention:
    """Which checkpoints somebody still holds. A checkpoint that nobody holds any more is freed."""

    def __init__(self, plan: Plan, held_elsewhere: Iterable[str], free: Callable[[str], object]) -> None:
        """Hold what every trial of `plan` needs; `held_elsewhere` is never freed. `free` gets a key."""
        self._plan = plan
        self._elsewhere = frozenset(held_elsewhere)
        self._free = free
        self._holders: Counter[str] = Counter()
        self._held: dict[str, set[str]] = {}
        for trial in plan.trials:
            self._held[trial.id] = self._needs(trial)
            self._holders.update(self._held[trial.id])

    def __contains__(self, key: str) -> bool:
        """Whether anybody holds the checkpoint."""
        return self._holders[key] > 0 or key in self._elsewhere

    def update(self, trials: Iterable[Trial], written: str | None = None) -> None:
        """`trials` have moved, the checkpoint `written` is new: free what nobody holds any more."""
        released = {written} if written else set()
        for trial in trials:
            needs, had = self._needs(trial), self._held[trial.id]
            self._holders.update(needs - had)
            self._holders.subtract(had - needs)
            released |= had - needs
            self._held[trial.id] = needs
        if self._plan.sweep.checkpoints == "needed":
            for key in released:
                if key not in self:
                    self._free(key)

    def _needs(self, trial: Trial) -> set[str]:
        return self._plan.walks[trial.id].needed(trial.recipe.settings.monitor)


def held_by_others(known: Known, sweep: str) -> set[str]:
    """The checkpoints that the other sweeps in the store hold: last and best epoch of each of their trials."""
    last: dict[tuple[str, str], tuple[int, str]] = {}
    best: dict[tuple[str, str], tuple[float, str]] = {}
    for owner, trial_id, epoch, score, key in known.column_values(
        "sweep", "trial_id", "epoch", "val_accuracy", "epoch_key"
    ):
        if owner == sweep:
            continue
        who = (owner, trial_id)
        last[who] = max(last.get(who, (-1, "")), (epoch, key))
        if score > best.get(who, (float("-inf"), ""))[0]:
            best[who] = (score, key)
    return {key for _, key in (*last.values(), *best.values())}


def clean(plan: Plan, store: Store) -> tuple[int, int]:
    """Free every checkpoint that neither `plan` nor another sweep in the store holds: how many, how many bytes.

    Temporaries of writes that were cut off go too. The caller holds the sweep's lock; nothing is freed while
    another sweep is being run in the same store, for it may not have recorded what it has just written.
    """
    others = [name for name in store.sweeps() if name != plan.sweep.name]
    if any(store.held(name) for name in others):
        return 0, 0
    freed: list[int] = []
    held = Retention(plan, held_by_others(plan.known, plan.sweep.name), store.delete_checkpoint)
    for key in sorted(store.checkpoints()):
        if key not in held:
            freed.append(store.delete_checkpoint(key))
    store.delete_leftovers()
    return len(freed), sum(freed)
