"""The rank of each recipe seed by seed, and the difference of mean ranks that chance does not explain."""

import numpy as np
import pyarrow as pa

from orchestrator.analysis.comparison import Column, recipe_columns, table
from orchestrator.analysis.observations import TrialArrays
from orchestrator.analysis.ranking import Ranking
from orchestrator.analysis.robust_means import FEWEST_SEEDS
from orchestrator.statistics.descriptive import Floats

MOST_RECIPES = 30
"""The critical difference grows with the number of recipes, and a diagram of more cannot be read."""


def critical_difference(recipes: int, seeds: int, level: float) -> float:
    """The smallest significant difference of two mean ranks (Nemenyi's test).

    Formula: q sqrt(k (k + 1) / (6 n)), where q is the quantile of the studentized range over sqrt(2).

    Source: Demšar, "Statistical comparisons of classifiers over multiple data sets" (2006); his example has 4
    methods on 14 data sets, here the blocks are seeds.

    >>> round(critical_difference(4, 14, 0.95), 2)
    1.25
    """
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(level, recipes, np.inf)) / np.sqrt(2)
    return float(quantile * np.sqrt(recipes * (recipes + 1) / (6 * seeds)))


def seed_rank_table(arrays: TrialArrays, ranking: Ranking, sign: int, level: float) -> pa.Table:
    """Mean ranks over the seeds that all recipes shown have, the smallest first; no rows with too few seeds.

    Equal values share the mean of their ranks. `friedman_p` is the Friedman test's: whether any recipes differ.
    Recipes are the first MOST_RECIPES with all the seeds that the winner has.
    """
    rows, seeds, ranks, critical, p = _ranks(ranking, sign, level)
    columns = recipe_columns([arrays.recipes[r] for r in rows])
    count = len(rows)
    columns |= {
        "n": Column(np.full(count, seeds, np.int64), "seeds"),
        "mean_rank": Column(ranks, "mean rank over seeds"),
        "critical_difference": Column(np.full(count, critical), "critical difference of mean ranks"),
        "friedman_p": Column(np.full(count, p), "p, Friedman test"),
    }
    return table("Mean ranks over seeds", columns)


def _ranks(ranking: Ranking, sign: int, level: float) -> tuple[list[int], int, Floats, float, float]:
    nothing: tuple[list[int], int, Floats, float, float] = ([], 0, np.zeros(0), 0.0, 0.0)
    if ranking.winner is None:
        return nothing
    shared = np.flatnonzero(np.isfinite(ranking.values[ranking.winner]))
    complete = ranking.learned & np.isfinite(ranking.values[:, shared]).all(axis=1)
    rows = [int(r) for r in ranking.order if complete[r] and ranking.rank[r]][:MOST_RECIPES]
    if len(shared) < FEWEST_SEEDS or len(rows) < 3:
        return nothing
    from scipy.stats import friedmanchisquare, rankdata

    values = -sign * ranking.values[rows][:, shared]
    ranks = rankdata(values, axis=0).mean(axis=1)
    p = 1.0 if np.ptp(values, axis=0).max() == 0 else float(friedmanchisquare(*values).pvalue)
    order = np.argsort(ranks, kind="stable")
    critical = critical_difference(len(rows), len(shared), level)
    return [rows[n] for n in order], len(shared), ranks[order], critical, p
