"""Means that one lucky or unlucky seed does not decide: the interquartile mean, with bootstrap intervals."""

import numpy as np
import pyarrow as pa

from orchestrator.analysis.comparison import Column, recipe_columns, table
from orchestrator.analysis.observations import METRICS, TrialArrays
from orchestrator.analysis.ranking import Ranking
from orchestrator.statistics.descriptive import Floats
from orchestrator.statistics.pairs import RIVALS

FEWEST_SEEDS = 5
"""With fewer seeds the middle half is one or two of them."""
RESAMPLES = 2_000


def interquartile_mean(values: Floats) -> Floats:
    """The mean of the middle half along the last axis; a quarter, rounded down, is cut off at each end.

    >>> interquartile_mean(np.array([0.0, 0.8, 0.9, 1.0, 9.0])).round(9).tolist()
    0.9
    """
    cut = values.shape[-1] // 4
    result: Floats = np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut].mean(axis=-1)
    return result


def robust_mean_table(arrays: TrialArrays, ranking: Ranking, monitor: str, level: float) -> pa.Table:
    """The interquartile mean over seeds of each recipe with enough seeds, with percentile-bootstrap intervals.

    Seeds are drawn with replacement within each recipe, the stratum. At most the first RIVALS recipes are shown.

    Source: Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice" (2021).
    """
    random = np.random.default_rng(0)
    rows, figures = [], []
    for recipe in ranking.order[:RIVALS]:
        values = ranking.values[recipe]
        values = values[np.isfinite(values)]
        if len(values) < FEWEST_SEEDS or not ranking.learned[recipe]:
            continue
        drawn = interquartile_mean(values[random.integers(len(values), size=(RESAMPLES, len(values)))])
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
        rows.append(recipe)
        figures.append((len(values), float(interquartile_mean(values)), low, high))
    n, mean, low, high = np.array(figures, np.float64).reshape(-1, 4).T
    label = f"interquartile mean of the final {METRICS[monitor]}"
    columns = recipe_columns([arrays.recipes[r] for r in rows])
    columns |= {
        "n": Column(n.astype(np.int64), "seeds"),
        "iqm": Column(mean, label),
        "iqm_low": Column(low, f"{label}, low end"),
        "iqm_high": Column(high, f"{label}, high end"),
    }
    return table("Interquartile means", columns)
