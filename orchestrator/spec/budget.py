"""The `budget:` part of a sweep file: how much a sweep may train in all its runs together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from experiments.settings import InputError, Limit, checked, whole

HOURS = Limit("more than 0", lambda number: number > 0)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The epochs that a sweep may train, or the hours of cores (of GPUs, where it uses some) that it may use."""

    epochs: Annotated[int | None, whole(1, 10**9), "epochs, those taken without training not counted"] = None
    hours: Annotated[float | None, HOURS, "core hours, or GPU hours where a trial has GPUs"] = None

    @property
    def total(self) -> float:
        """The number of epochs or of hours."""
        return float(self.epochs if self.epochs is not None else self.hours or 0.0)

    @property
    def text(self) -> str:
        """The budget in words.

        >>> Budget(epochs=1200).text, Budget(hours=8.0).text
        ('1,200 epochs', '8 hours')
        """
        return f"{self.epochs:,} epochs" if self.epochs is not None else f"{self.hours:g} hours"

    def cost(self, seconds: float, cpus: float, gpus: float) -> float:
        """What one epoch of `seconds` takes from the budget."""
        return 1.0 if self.epochs is not None else seconds * (gpus or cpus) / 3600


def check(values: Mapping[str, Any]) -> Budget:
    """`values` as a Budget. Raises InputError unless exactly one of the two is set."""
    budget = Budget(**checked("budget", values, Budget))
    if (budget.epochs is None) == (budget.hours is None):
        raise InputError(f"budget: expected either epochs or hours, got {dict(values)!r}")
    return budget
