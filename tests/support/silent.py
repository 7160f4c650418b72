"""What tests of runs share: a listener that says nothing, and what no run has to repeat."""

from collections.abc import Mapping

from orchestrator.planning.epoch_chain import ChainCursor
from orchestrator.planning.plan import Plan
from orchestrator.spec.trials import Trial
from orchestrator.storage.history import Row

TIMINGS = ("seconds", "images_per_second", "started_at", "host", "reused")
"""The columns that depend on when, where and in which order a run trained."""


class Silent:
    """A listener that remembers what it was told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.endings: dict[str, str] = {}

    def began(self, plan: Plan, cursors: Mapping[str, ChainCursor]) -> None:
        """Remember the cursors."""
        self.cursors = cursors

    def started(self, trial: Trial) -> None: ...

    def epoch(self, trial: Trial, row: Row) -> None: ...

    def ended(self, trial: Trial, status: str, reason: str) -> None:
        assert trial.id not in self.endings
        self.endings[trial.id] = status

    def say(self, message: str) -> None:
        self.messages.append(message)
