"""Which checkpoints are still needed, and by whom; the rest are freed.

A trial holds the checkpoint it would go on from (an unfinished one to resume or to branch, a finished one to be
extended) and the one of its best epoch. That is all: disk use does not grow with the number of epochs.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from experiments import rules
from orchestrator.files import HeldError
from orchestrator.grid import Trial
from orchestrator.plan import Plan, make
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
    """The checkpoints that the other sweeps in the store hold: the last epoch of each of their trials, and the
    best by each metric, for any may be their monitor.
    """
    last: dict[tuple[str, str], tuple[int, str]] = {}
    best: dict[tuple[str, str, str], tuple[float, str]] = {}
    for owner, trial_id, epoch, key, *values in known.column_values(
        "sweep", "trial_id", "epoch", "epoch_key", *rules.METRICS
    ):
        if owner == sweep:
            continue
        last[owner, trial_id] = max(last.get((owner, trial_id), (-1, "")), (epoch, key))
        for metric, value in zip(rules.METRICS, values, strict=True):
            score = value if rules.direction(metric) == "max" else -value
            if score > best.get((owner, trial_id, metric), (float("-inf"), ""))[0]:
                best[owner, trial_id, metric] = (score, key)
    return {key for _, key in (*last.values(), *best.values())}


def clean(plan: Plan, store: Store) -> tuple[int, int]:
    """Free every checkpoint that neither `plan` nor another sweep in the store holds: how many, how many bytes.

    Temporaries of writes that were cut off go too. The caller holds the sweep's lock. Raises HeldError while
    another sweep is being run in the same store, for it may not have recorded what it has just written.
    """
    with store.alone() as alone:
        if not alone:
            raise HeldError(f"{store}: another sweep is being run here; clean when it has ended")
        fresh = make(plan.sweep, store, share=plan.share)  # `plan` may be older than the lock
        held = Retention(fresh, held_by_others(fresh.known, fresh.sweep.name), store.delete_checkpoint)
        freed = [store.delete_checkpoint(key) for key in sorted(store.checkpoints()) if key not in held]
        store.delete_leftovers()
    return len(freed), sum(freed)


def tidy(plan: Plan, store: Store) -> None:
    """Clear away what runs that died have left behind, unless another sweep is being run in the same store.

    That is: temporaries, weights without a manifest, and checkpoints that no trial of `plan` holds and that
    nothing else in the store has on record. The caller holds the sweep's lock and `plan` is up to date.
    """
    with store.alone() as alone:
        if not alone:
            return
        store.delete_leftovers()
        held = Retention(plan, (), store.delete_checkpoint)
        unheld = {key for key in store.checkpoints() if key not in held}
        if unheld and plan.sweep.checkpoints == "needed":
            for key in unheld - _recorded_elsewhere(store, plan.sweep.name):
                store.delete_checkpoint(key)


def _recorded_elsewhere(store: Store, sweep: str) -> set[str]:
    """The keys of all epochs on record but those that are now in the history of `sweep`."""
    histories, _ = store.read_all()
    tables = [*histories.superseded]
    tables += [rows for name, trials in histories.current.items() if name != sweep for rows in trials.values()]
    return {key for table in tables for key in table["epoch_key"].to_pylist()}
