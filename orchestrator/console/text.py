"""Sparklines: values as short texts in a terminal."""

import math
from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(
    values: Sequence[float], width: int = 16, low: float | None = None, high: float | None = None
) -> str:
    """A row of at most `width` blocks for the finite `values`; their heights go from `low` to `high`.

    The default of `low` and `high` is the range of the values. Of more than `width` values, evenly spaced ones are
    drawn, the first and the last among them.

    >>> sparkline([0.0, 0.5, 1.0])
    '▁▅█'
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    if len(finite) > width:
        finite = [finite[round(block * (len(finite) - 1) / (width - 1))] for block in range(width)]
    bottom = min(finite) if low is None else low
    span = (max(finite) if high is None else high) - bottom
    levels = [0.0 if span <= 0 else min(max((value - bottom) / span, 0.0), 1.0) for value in finite]
    return "".join(_BLOCKS[int(level * (len(_BLOCKS) - 1) + 0.5)] for level in levels)
