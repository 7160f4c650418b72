"""How figures are written for people."""

import math


def number(value: float | None, digits: int = 3) -> str:
    """A metric: fixed digits, "" for what is not known, `inf` for what has no bound."""
    if value is None:
        return ""
    return f"{value:z.{digits}f}" if math.isfinite(value) else "inf"


def amount(value: float | None) -> str:
    """A count, a duration or hours: three figures, thousands apart, `never` for infinite."""
    if value is None:
        return ""
    if math.isinf(value):
        return "never"
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def hours(value: float, unit: str) -> str:
    """Hours in the unit in which they can be imagined.

    >>> hours(1.395, "core"), hours(0.25, "GPU"), hours(0.002, "core")
    ('1.4 core hours', '15 GPU minutes', '7.2 core seconds')
    """
    for name, size in (("hours", 1), ("minutes", 60), ("seconds", 3600)):
        if value * size >= 1 or name == "seconds":
            return f"{amount(value * size)} {unit} {name}"
    raise AssertionError


def chance(p: float | None) -> str:
    """A p-value: three digits, never a zero."""
    return "<0.001" if p is not None and p < 0.0005 else number(p)


def between(low: float | None, high: float | None) -> str:
    """An interval, or "" where there is none."""
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
