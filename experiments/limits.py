"""Which values a setting may take: said once, for the check and for its message."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.checks import InputError


@dataclass(frozen=True)
class Limit:
    """What is expected of a number, in words and as a test; a tuple is held against it number by number."""

    expected: str
    holds: Callable[[float], bool]

    def check(self, where: str, value: Any) -> None:
        """Raise InputError, naming `where`, what was expected and what came, when `value` is outside.

        >>> POSITIVE.check("schedules.step.every", 0.0)
        Traceback (most recent call last):
        ...
        experiments.checks.InputError: schedules.step.every: expected a number above 0, got 0.0
        """
        for number in value if isinstance(value, tuple) else (value,):
            if not self.holds(number):
                raise InputError(f"{where}: expected {self.expected}, got {number!r}")


POSITIVE = Limit("a number above 0", lambda number: number > 0)
NOT_NEGATIVE = Limit("0 or more", lambda number: number >= 0)
AT_LEAST_ONE = Limit("1 or more", lambda number: number >= 1)
FRACTION = Limit("a number from 0 to 1", lambda number: 0 <= number <= 1)
REDUCTION = Limit("a number above 0 and at most 1", lambda number: 0 < number <= 1)
STRICT_REDUCTION = Limit("a number above 0 and below 1", lambda number: 0 < number < 1)
BELOW_ONE = Limit("at least 0 and below 1", lambda number: 0 <= number < 1)


def whole(least: int, most: int, of: str = "") -> Limit:
    """Whole numbers from `least` to `most`, both included, `of` something.

    >>> whole(1, 100, "epochs").expected
    '1 to 100 epochs'
    """
    return Limit(f"{least:,} to {most:,} {of}".rstrip(), lambda number: least <= number <= most)


def within(where: str, settings: Mapping[str, Any], limits: Mapping[str, Limit]) -> None:
    """Hold every setting that has a limit against it. Raises InputError for the first one outside."""
    for name, limit in limits.items():
        limit.check(f"{where}.{name}", settings[name])
