"""Who runs what in a results folder: what the locks of every storage promise."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

FOLDER = "lock"
"""What the locks lie under: a file, or the folder of the leases."""


TURN = ".turn"
"""The lock file of who may decide now what is shared; no sweep's name begins with a dot."""


@dataclass(frozen=True)
class LockTimes:
    """How long who wants a lock waits for it, in seconds."""

    look: float = 2.0
    """Outlasts somebody's look at a lock."""
    tidying: float = 600.0
    """Outlasts the tidying of a results folder, and anybody's turn in it."""


class SweepLocks(Protocol):
    """Who runs what in one results folder, as this process sees it."""

    def lock(self, sweep: str) -> AbstractContextManager[None]:
        """Hold the sweep for this process. Raises HeldError saying who has it, and StoreError."""

    def held(self, sweep: str) -> bool:
        """Whether some process runs the sweep now."""

    def others(self) -> set[str]:
        """Within `lock`: the other sweeps that are being run in the folder."""

    def turn(self) -> AbstractContextManager[None]:
        """Within `lock`: nobody else is within this at the same time. Raises HeldError after a long wait."""

    def alone(self) -> AbstractContextManager[bool]:
        """Within `lock`: whether no other sweep is run in the folder. None can begin before the end of this.

        It is this run's turn meanwhile.
        """

    def check(self) -> None:
        """Raises StoreError once this process can no longer be sure of what it holds."""
