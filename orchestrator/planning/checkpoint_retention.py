"""Which checkpoints are still needed, and by which trials; the rest are freed.

A trial holds two checkpoints: its newest one, to resume, to branch or to be extended, and that of its best epoch.
So disk use does not grow with the number of epochs, unless the sweep says `checkpoints: all`.

With `checkpoints: ladder` it also holds those after the epochs of `rungs`: 2, 4, 7, 11, 17, 26 and so on, each
half as far again as the one before. A schedule that is added later, and has its first b epochs in common with the
trial, goes on from the newest of them. It computes at most a third of the b epochs again, for every b from 2 on;
no choice of fewer checkpoints can promise that. Their number grows with the logarithm of the epochs. Their places
depend on nothing else: a trial that goes on drops none, and trials of several lengths that begin alike share them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa

from experiments import callbacks
from orchestrator.planning.epoch_chain import ChainCursor
from orchestrator.planning.plan import Plan, renew, undamaged
from orchestrator.spec.keys import ALL, LADDER, checkpoints_of
from orchestrator.spec.trials import Trial
from orchestrator.storage.filesystem import HeldError
from orchestrator.storage.history import Histories
from orchestrator.storage.store import Store


def rungs(epochs: int) -> list[int]:
    """The numbers of epochs, up to `epochs`, after which a ladder has a checkpoint.

    >>> rungs(40)
    [2, 4, 7, 11, 17, 26, 40]
    """
    result, rung = [], 2
    while rung <= epochs:
        result.append(rung)
        rung = rung * 3 // 2 + 1
    return result


def on_the_way(keys: Sequence[str], policy: str) -> set[str]:
    """Those of a trial's epochs whose checkpoints stay by `policy`, whether or not they are the newest or best."""
    if policy == ALL:
        return set(keys)
    return {keys[rung - 1] for rung in rungs(len(keys))} if policy == LADDER else set()


class Retention:
    """Which checkpoints the trials of a plan still hold."""

    def __init__(self, plan: Plan, cursors: Mapping[str, ChainCursor]) -> None:
        """Hold what every trial of `plan` needs; `cursors`, by trial, say how far each is, now and later."""
        self._plan, self._cursors = plan, cursors
        self._holders: Counter[str] = Counter()
        self._held: dict[str, set[str]] = {}
        for trial in plan.all_trials:
            self._held[trial.id] = self._needs(trial)
            self._holders.update(self._held[trial.id])

    def __contains__(self, key: str) -> bool:
        """Whether any trial holds the checkpoint."""
        return self._holders[key] > 0

    def __iter__(self) -> Iterator[str]:
        """The checkpoints that are held."""
        return (key for key, count in self._holders.items() if count > 0)

    def update(self, trials: Iterable[Trial], written: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
        """`trials` have advanced: the checkpoints that no trial holds any more, each with a trial that held it.

        `written` are new checkpoints with the trial that wrote them. The result is empty where a sweep keeps all.
        """
        released = dict(written)
        for trial in trials:
            needs, before = self._needs(trial), self._held[trial.id]
            self._holders.update(needs - before)
            self._holders.subtract(before - needs)
            released |= dict.fromkeys(before - needs, trial.id)
            self._held[trial.id] = needs
        if self._plan.sweep.checkpoints == ALL:
            return {}
        return {key: trial_id for key, trial_id in released.items() if key not in self}

    def _needs(self, trial: Trial) -> set[str]:
        cursor, policy = self._cursors[trial.id], self._plan.sweep.checkpoints
        if policy == ALL:
            return on_the_way(cursor.keys, policy)
        needs = cursor.needed(trial.recipe.settings.monitor) | on_the_way(cursor.keys, policy)
        rebuild = self._plan.rebuilt.get(trial.id)
        return needs | {rebuild.latest} if rebuild and rebuild.latest else needs


@dataclass(frozen=True)
class Freed:
    """How many checkpoints were freed, and how many bytes they had."""

    checkpoints: int
    bytes: int


def clean_sweep(plan: Plan, store: Store) -> Freed:
    """`clean` with the sweep's lock. Raises InputError, DamagedError and HeldError before anything is freed."""
    store.probe()
    with store.lock(plan.sweep.name):
        return clean(undamaged(renew(plan, store), store), store)


def clean(plan: Plan, store: Store) -> Freed:
    """Free every checkpoint that neither `plan` nor another sweep in the store holds.

    Temporary files of interrupted writes are freed too. The caller holds the sweep's lock. Raises HeldError while
    another sweep is being run in the same store, for it may not have recorded what it has just written.
    """
    with store.alone() as alone:
        if not alone:
            raise HeldError(f"{store}: another sweep is being run here; clean when it has ended")
        plan = renew(plan, store)  # it may be older than the lock
        held = {*Retention(plan, plan.cursors), *held_by_others(plan.histories, plan.sweep.name, store)}
        freed = [store.checkpoints.delete(key) for key in sorted(store.checkpoints.complete() - held)]
        store.delete_leftovers()
    return Freed(len(freed), sum(freed))


def tidy(plan: Plan, cursors: Mapping[str, ChainCursor], store: Store) -> None:
    """Free what runs that died have left behind, unless another sweep is being run in the same store.

    That is: temporary files, weights without a manifest, and checkpoints that nobody holds: no trial of `plan` at
    its place in `cursors`, no other sweep, no superseded history. The caller holds the sweep's lock.
    """
    with store.alone() as alone:
        if not alone:
            return
        store.delete_leftovers()
        unheld = store.checkpoints.complete() - {*Retention(plan, cursors)}
        if unheld and plan.sweep.checkpoints != ALL:
            histories, _ = store.read_all()
            superseded = {key for rows in histories.superseded for key in rows["epoch_key"].to_pylist()}
            for key in unheld - superseded - held_by_others(histories, plan.sweep.name, store):
                store.checkpoints.delete(key)


def held_by_others(histories: Histories, sweep: str, store: Store) -> set[str]:
    """The checkpoints that the sweeps in the store other than `sweep` hold, by their `histories`."""
    return {
        key
        for other, trials in histories.current.items()
        if other != sweep
        for policy in [policy_of(store, other)]
        for rows in trials.values()
        for key in held_by_history(rows, policy)
    }


def policy_of(store: Store, sweep: str) -> str:
    """Which checkpoints the sweep, as it was last run, keeps: one of `CHECKPOINT_POLICIES`."""
    return checkpoints_of(store.read_sweep(sweep))


def held_by_history(rows: pa.Table, policy: str) -> set[str]:
    """The checkpoints that a trial of another sweep, which keeps them by `policy`, holds by its history.

    They include the last, and the best by each metric: the sweep may monitor any of them.
    """
    keys = rows["epoch_key"].to_pylist()
    if policy == ALL:
        return on_the_way(keys, policy)
    columns = {metric: rows[metric].to_pylist() for metric in callbacks.METRICS}
    history = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    best = (callbacks.best_epoch(history, metric) for metric in callbacks.METRICS)
    return on_the_way(keys, policy).union(keys[-1:], (keys[epoch] for epoch in best if epoch is not None))
