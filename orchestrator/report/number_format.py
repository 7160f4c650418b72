"""Numbers as texts for people, in reports and in the terminal."""

import math


def number(value: float | None, digits: int = 3) -> str:
    """A metric with `digits` digits after the point; "" for None, `inf` for an infinite value.

    >>> number(0.93649), number(None), number(math.inf)
    ('0.936', '', 'inf')
    """
    if value is None:
        return ""
    return f"{value:z.{digits}f}" if math.isfinite(value) else "inf"


def amount(value: float | None) -> str:
    """A count, a duration or hours: three digits or all before the point; "" for None, `never` for infinite.

    >>> amount(12345.6), amount(7.0), amount(1.23456), amount(math.inf)
    ('12,346', '7', '1.23', 'never')
    """
    if value is None:
        return ""
    if math.isinf(value):
        return "never"
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def rate(value: float) -> str:
    """A learning rate or a momentum, with three digits.

    >>> rate(0.001), rate(0.000012345)
    ('0.001', '1.23e-05')
    """
    return f"{value:.3g}"


def hours(value: float, unit: str) -> str:
    """Hours of `unit`, in hours, minutes or seconds: the largest in which the number is at least 1.

    >>> hours(1.395, "core"), hours(0.25, "GPU"), hours(0.002, "core")
    ('1.4 core hours', '15 GPU minutes', '7.2 core seconds')
    """
    for name, size in (("hours", 1), ("minutes", 60), ("seconds", 3600)):
        if value * size >= 1 or name == "seconds":
            return f"{amount(value * size)} {unit} {name}"
    raise AssertionError


def chance(p: float | None) -> str:
    """A p-value with three digits; a smaller value than 0.0005 is `<0.001` and not zero."""
    return "<0.001" if p is not None and p < 0.0005 else number(p)


def probability(value: float | None) -> str:
    """A probability with two digits, never 0 or 1; "" for None.

    >>> probability(0.618), probability(0.9999), probability(0.0001)
    ('0.62', '>0.99', '<0.01')
    """
    if value is None:
        return ""
    return ">0.99" if value > 0.994 else "<0.01" if value < 0.006 else f"{value:.2f}"


def signed(value: float | None) -> str:
    """A difference with its sign and three digits; "" for None."""
    return "" if value is None else f"{value:+.3f}"


def between(low: float | None, high: float | None) -> str:
    """An interval; "" for None."""
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
