"""Scores of recipes as hypothesis draws them: with gaps, ties, and recipes whose seeds all agree."""

import numpy as np
from hypothesis import strategies as st

from orchestrator.statistics.descriptive import Floats

IN_A_UNIT = 512
"""Values are multiples of 1 / 512, so that their sums and differences are exact."""


@st.composite
def scores(draw: st.DrawFn, recipes: tuple[int, int] = (1, 6), seeds: tuple[int, int] = (0, 5)) -> Floats:
    """float64 [recipes, seeds], between 0 and 1; NaN is a missing seed."""
    shape = draw(st.integers(*recipes)), draw(st.integers(*seeds))
    # Few different values make ties, in one pair or in all.
    values = st.integers(0, draw(st.sampled_from([0, 2, 20, IN_A_UNIT])))
    rows = []
    for _ in range(shape[0]):
        row = draw(st.lists(values, min_size=shape[1], max_size=shape[1]))
        if draw(st.integers(0, 5)) == 0:
            row = row[:1] * shape[1]
        rows.append(row)
    result = np.array(rows, np.float64).reshape(shape) / IN_A_UNIT
    if draw(st.booleans()):
        cells = shape[0] * shape[1]
        missing = draw(st.lists(st.integers(0, 3), min_size=cells, max_size=cells))
        result[np.array(missing, np.int64).reshape(shape) == 0] = np.nan
    return result
