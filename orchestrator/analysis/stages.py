"""Question 3: the rank of each recipe at each stage of training, and which recipe overtakes which."""

from itertools import pairwise

import numpy as np
import pyarrow as pa

from orchestrator.analysis.comparison import Column, bounds, interval_columns, recipe_columns, table
from orchestrator.analysis.observations import METRICS, TrialArrays
from orchestrator.analysis.ranking import Ranking
from orchestrator.statistics import descriptive
from orchestrator.statistics.descriptive import Floats, Ints

SHARES = {"25%": 0.25, "50%": 0.5, "75%": 0.75, "100%": 1.0}
# The number of pairs grows with the square of the recipes, and low ranks decide nothing.
OVERTAKING_RECIPES = 12


def stage_tables(
    arrays: TrialArrays, ranking: Ranking, monitor: str, sign: int, level: float
) -> tuple[pa.Table, pa.Table]:
    """Rank and metrics of every recipe at each share of its planned epochs (rounded up), and the overtakings.

    A trial that ended earlier keeps its last value. At 100 % every trial is at its last epoch, so the values are
    those of the ranking.
    """
    results, recipe_count = arrays.results, len(arrays.recipes)
    groups = arrays.recipe[results]
    planned_epochs = np.array([arrays.trials[t].epochs for t in results], np.int64)
    order = ranking.order[: int((ranking.rank > 0).sum())]
    parts: list[pa.Table] = []
    scores: list[Floats] = []
    ranks: list[Ints] = []
    for name, share in SHARES.items():
        reached = np.maximum(np.ceil(planned_epochs * share - 1e-9), 1).astype(np.int64)
        rows = arrays.row(results, np.maximum(reached, arrays.count[results]) if share == 1.0 else reached)
        intervals = {
            metric: descriptive.intervals(values[rows], groups, recipe_count, bounds(metric), level)
            for metric, values in arrays.metrics.items()
        }
        score = descriptive.leveled(sign * intervals[monitor].mean)
        rank = descriptive.ranks(score)
        with np.errstate(invalid="ignore", divide="ignore"):
            trained = np.bincount(groups, np.minimum(reached, arrays.count[results]), recipe_count)
            epoch = trained / intervals[monitor].n
        columns = {"stage": Column([name] * len(order))} | recipe_columns([arrays.recipes[r] for r in order])
        columns |= {
            "epoch": Column(epoch[order], "epochs trained, mean", "epochs"),
            "n": Column(intervals[monitor].n[order], "seeds that ended"),
            "rank": Column(rank[order]),
            "moved": Column(
                ranks[-1][order] - rank[order] if ranks else pa.nulls(len(order), pa.int64()), "places won"
            ),
        }
        for metric in METRICS:
            columns |= interval_columns(metric, intervals[metric], order, METRICS[metric])
        parts.append(table("Rank at each stage of training", columns))
        scores.append(score)
        ranks.append(rank)
    return pa.concat_tables(parts), _overtakes(arrays, order[:OVERTAKING_RECIPES], scores, ranks)


def _overtakes(arrays: TrialArrays, order: Ints, scores: list[Floats], ranks: list[Ints]) -> pa.Table:
    rows: list[tuple[str, str, str, str, int, int]] = []
    for (stage, next_stage), earlier, later, rank in zip(
        pairwise(SHARES), scores[:-1], scores[1:], ranks[1:], strict=True
    ):
        was_behind = earlier[order][:, None] < earlier[order][None, :]
        is_ahead = later[order][:, None] > later[order][None, :]
        for i, j in zip(*np.nonzero(was_behind & is_ahead), strict=True):
            a, b = order[i], order[j]
            labels = arrays.recipes[a].text, arrays.recipes[b].text
            rows.append((stage, next_stage, *labels, int(rank[a]), int(rank[b])))
    kinds = [pa.string()] * 4 + [pa.int64()] * 2
    heads = ["from", "to", "recipe", "overtakes", "rank", "rank_of_overtaken"]
    columns = zip(*rows, strict=True) if rows else [()] * len(heads)
    title = f"Who overtakes whom, among the first {OVERTAKING_RECIPES}"
    return table(title, {h: Column(pa.array(list(c), k)) for h, c, k in zip(heads, columns, kinds, strict=True)})
