"""A trial is a chain of epochs: the keys of the epochs, and how much of a chain the store knows.

An epoch's result depends only on the state before it and the learning rates (and momentum, where a schedule
cycles it) of its steps, so its key is

    root key  = sha256(canonical JSON of all that decides the numbers)
    epoch key = sha256(key of the epoch before + the little-endian float32 learning rates of this epoch's steps
                       [+ the momentum of its steps in the same form])

An epoch that is known under its key is never trained again, whichever trial or sweep trained it.
"""

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from experiments import callbacks

FORMAT = 2
"""Raised whenever the same settings would train other numbers than before; old epochs are then not reused."""

Metrics = Mapping[str, float]


def root_key(facts: Mapping[str, Any]) -> str:
    """The hex sha256 of `facts` as canonical JSON: everything that decides a trial's numbers but its rates."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def epoch_key(
    before: str, learning_rates: npt.NDArray[np.float32], momentum: npt.NDArray[np.float32] | None = None
) -> str:
    """The hex key of the epoch that follows `before` with these learning rates, and momentum if it is cycled.

    Both are float32 [steps]. Rates alone and rates with momentum cannot be taken for each other: all epochs
    under one root have the same number of steps.
    """
    digest = hashlib.sha256(bytes.fromhex(before))
    digest.update(np.ascontiguousarray(learning_rates, dtype="<f4").data)
    if momentum is not None:
        digest.update(np.ascontiguousarray(momentum, dtype="<f4").data)
    return digest.hexdigest()


@dataclass(frozen=True)
class EpochChain:
    """All that decides a trial's epochs: its root key, its learning rates, and the rules that change them.

    `table` is float32 [epochs, steps], and so is `momentum` where the schedule cycles it. The rules are functions
    of the epochs so far, so a chain has no state.
    """

    root: str
    table: npt.NDArray[np.float32]
    plateau: callbacks.Plateau | None = None
    early_stopping: callbacks.EarlyStopping | None = None
    momentum: npt.NDArray[np.float32] | None = None

    @property
    def epochs(self) -> int:
        """How many epochs the trial has if nothing ends it earlier."""
        return len(self.table)

    def rates(self, history: Sequence[Metrics]) -> npt.NDArray[np.float32]:
        """The learning rates of the epoch after `history`, float32 [steps]."""
        row: npt.NDArray[np.float32] = self.table[len(history)]
        return self.plateau.apply(row, history) if self.plateau else row

    def momentum_in(self, epoch: int) -> npt.NDArray[np.float32] | None:
        """The momentum of the steps of `epoch`, float32 [steps]; None where the schedule leaves it alone."""
        return None if self.momentum is None else self.momentum[epoch]

    def key(self, before: str, history: Sequence[Metrics]) -> str:
        """The key of the epoch after `history`, `before` being that of its last one (or the root)."""
        return epoch_key(before, self.rates(history), self.momentum_in(len(history)))

    def ending(self, history: Sequence[Metrics]) -> str | None:
        """How the trial ended with `history`: `diverged`, `stopped`, `completed`; None if it goes on."""
        if not self.goes_on(history):
            return "completed" if all(math.isfinite(history[-1][m]) for m in callbacks.METRICS) else "diverged"
        stopped = bool(history) and self.early_stopping is not None and self.early_stopping.stops(history)
        return "stopped" if stopped else None

    def goes_on(self, history: Sequence[Metrics]) -> bool:
        """Whether there is an epoch after `history`, unless the trial was stopped early."""
        if history:
            for metric in callbacks.METRICS:
                if not math.isfinite(history[-1][metric]):
                    return False
        return len(history) < len(self.table)


class EpochLookup(Protocol):
    """A look-up of what is known under an epoch key."""

    def metrics(self, key: str) -> Metrics | None:
        """The metrics recorded under `key`, or None when that epoch is not known."""


@dataclass
class ChainCursor:
    """How far a chain is known: the keys and metrics of its epochs so far, and its newest checkpoint.

    The newest checkpoint is the one after `resume` epochs. Training goes on from there: `keys[resume:]` are
    known, but their weights are gone, so they are computed again before the first unknown epoch.
    """

    chain: EpochChain
    keys: list[str] = field(default_factory=list)
    history: list[Metrics] = field(default_factory=list)
    resume: int = 0

    def copy(self) -> "ChainCursor":
        """A cursor at the same epoch that advances by itself."""
        return ChainCursor(self.chain, [*self.keys], [*self.history], self.resume)

    def extend(self, known: EpochLookup) -> None:
        """Advance over every epoch that `known` has."""
        chain, keys, history = self.chain, self.keys, self.history
        before = keys[-1] if keys else chain.root
        while chain.goes_on(history):
            before = chain.key(before, history)
            metrics = known.metrics(before)
            if metrics is None:
                break
            keys.append(before)
            history.append(metrics)
        # Early stopping decides no key: it is asked once, not at every epoch.
        last = chain.early_stopping.last_epoch(history) if chain.early_stopping and history else None
        if last is not None:
            del keys[last + 1 :], history[last + 1 :]

    def append(self, key: str, metrics: Metrics) -> None:
        """One more epoch is known."""
        self.keys.append(key)
        self.history.append(metrics)

    @property
    def ending(self) -> str | None:
        """How the trial ended, None if it goes on."""
        return self.chain.ending(self.history)

    @property
    def next_key(self) -> str:
        """The key of the first epoch that is not known."""
        return self.chain.key(self.keys[-1] if self.keys else self.chain.root, self.history)

    @property
    def training_key(self) -> str:
        """The key of the epoch that training computes next: the one after the newest checkpoint."""
        return self.keys[self.resume] if self.resume < len(self.keys) else self.next_key

    def find_checkpoint(self, checkpoints: Collection[str], epochs: int | None = None) -> None:
        """Set `resume` to the newest checkpoint on the chain, or on its first `epochs`."""
        for count in range(len(self.keys[:epochs]), 0, -1):
            if self.keys[count - 1] in checkpoints:
                self.resume = count
                return
        self.resume = 0

    def best_key(self, monitor: str) -> str | None:
        """The key of the best epoch so far by `monitor`, None before the first finite one."""
        best = callbacks.best_epoch(self.history, monitor)
        return None if best is None else self.keys[best]

    def needed(self, monitor: str) -> set[str]:
        """The checkpoints this trial holds on to: the one it would go on from, and its best."""
        held = {self.keys[self.resume - 1]} if self.resume else set()
        best = self.best_key(monitor)
        return held | ({best} if best else set())

    def foreseen(self) -> list[str]:
        """The keys of the epochs still missing, as far as they can be told: as if no rule reacted any more."""
        if self.ending is not None:
            return []
        keys, before = [], self.keys[-1] if self.keys else self.chain.root
        rule, rows = self.chain.plateau, self.chain.table[len(self.history) :]
        for epoch, row in enumerate(rule.apply(rows, self.history) if rule else rows, len(self.history)):
            before = epoch_key(before, row, self.chain.momentum_in(epoch))
            keys.append(before)
        return keys
