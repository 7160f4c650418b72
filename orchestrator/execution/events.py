"""What a run tells while it goes on, and what it did."""

from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.spec.trials import Trial
from orchestrator.storage.history import Row


class Listener(Protocol):
    """What wants to know how a run goes on, for example a display."""

    def started(self, trial: Trial) -> None:
        """The trial has a place on a worker."""

    def epoch(self, trial: Trial, row: Row) -> None:
        """The trial has trained an epoch."""

    def ended(self, trial: Trial, status: str, reason: str) -> None:
        """The trial is `completed`, `stopped`, `diverged` or `failed` (then with the reason)."""

    def say(self, message: str) -> None:
        """Something that people should know."""


@dataclass
class Outcome:
    """What a run did. `failed` is trial to reason; epochs `again` were known, their weights were not."""

    trained: int = 0
    again: int = 0
    seconds: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)
