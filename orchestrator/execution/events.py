"""What a run reports while it goes on, and what it did."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.planning.epoch_chain import ChainCursor
from orchestrator.planning.plan import Plan
from orchestrator.spec.trials import Trial
from orchestrator.storage.history import Row


class Listener(Protocol):
    """An observer of a run, for example a display."""

    def began(self, plan: Plan, cursors: Mapping[str, ChainCursor]) -> None:
        """The run carries out `plan`. The `cursors`, by trial, advance while it goes on; they are read only."""

    def started(self, trial: Trial) -> None:
        """The trial has a worker."""

    def epoch(self, trial: Trial, row: Row) -> None:
        """The trial has trained an epoch."""

    def ended(self, trial: Trial, status: str, reason: str) -> None:
        """The trial is `completed`, `stopped`, `diverged` or `failed` (then with the reason)."""

    def say(self, message: str) -> None:
        """A message for people."""


@dataclass
class Outcome:
    """What a run did. `plan` is that of the sweep after the run.

    `failed` is trial to reason; `failed_range_tests` is label to reason, and then no trial was trained.
    `recomputed` epochs were known, but their weights were missing.
    """

    plan: Plan
    trained: int = 0
    recomputed: int = 0
    seconds: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)
    failed_range_tests: dict[str, str] = field(default_factory=dict)
