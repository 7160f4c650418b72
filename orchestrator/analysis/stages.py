"""Question 3: who leads at which stage of training, and who overtakes whom."""

from itertools import pairwise

import numpy as np
import pyarrow as pa

from orchestrator.analysis import statistics
from orchestrator.analysis.comparison import Column, bounds, names, spread, table
from orchestrator.analysis.observations import METRICS, TrialArrays
from orchestrator.analysis.ranking import Ranking
from orchestrator.analysis.statistics import Floats, Ints

SHARES = {"25%": 0.25, "50%": 0.5, "75%": 0.75, "100%": 1.0}
# Pairs grow with the square of the recipes; who passes whom at the bottom interests nobody.
WATCHED = 12


def stages(runs: TrialArrays, at: Ranking, monitor: str, sign: int, level: float) -> tuple[pa.Table, pa.Table]:
    """Rank and metrics of every recipe at each share of its planned epochs (rounded up), and the overtakings.

    A trial that had ended before keeps its last value: that is what one has who stops there. At 100 % every
    trial is at its last epoch, so these are the figures of the ranking.
    """
    trials, count = runs.results, len(runs.recipes)
    groups = runs.recipe[trials]
    planned = np.array([runs.planned[t].epochs for t in trials], np.int64)
    order = at.order[: int((at.rank > 0).sum())]
    parts: list[pa.Table] = []
    scores: list[Floats] = []
    ranks: list[Ints] = []
    for name, share in SHARES.items():
        reached = np.maximum(np.ceil(planned * share - 1e-9), 1).astype(np.int64)
        rows = runs.row(trials, np.maximum(reached, runs.count[trials]) if share == 1.0 else reached)
        found = {
            m: statistics.intervals(v[rows], groups, count, bounds(m), level) for m, v in runs.metrics.items()
        }
        score = statistics.leveled(sign * found[monitor].mean)
        rank = statistics.ranks(score)
        with np.errstate(invalid="ignore", divide="ignore"):
            epoch = np.bincount(groups, np.minimum(reached, runs.count[trials]), count) / found[monitor].n
        columns = {"stage": Column([name] * len(order))} | names([runs.recipes[r] for r in order])
        columns |= {
            "epoch": Column(epoch[order], "epochs trained, mean", "epochs"),
            "n": Column(found[monitor].n[order], "seeds that ended"),
            "rank": Column(rank[order]),
            "moved": Column(
                ranks[-1][order] - rank[order] if ranks else pa.nulls(len(order), pa.int64()), "places won"
            ),
        }
        for metric in METRICS:
            columns |= spread(metric, found[metric], order, METRICS[metric])
        parts.append(table("Rank at each stage of training", columns))
        scores.append(score)
        ranks.append(rank)
    return pa.concat_tables(parts), _overtakes(runs, order[:WATCHED], scores, ranks)


def _overtakes(runs: TrialArrays, order: Ints, scores: list[Floats], ranks: list[Ints]) -> pa.Table:
    rows: list[tuple[str, str, str, str, int, int]] = []
    for (before, after), earlier, later, rank in zip(
        pairwise(SHARES), scores[:-1], scores[1:], ranks[1:], strict=True
    ):
        behind = earlier[order][:, None] < earlier[order][None, :]
        ahead = later[order][:, None] > later[order][None, :]
        for i, j in zip(*np.nonzero(behind & ahead), strict=True):
            a, b = order[i], order[j]
            labels = runs.recipes[a].label, runs.recipes[b].label
            rows.append((before, after, *labels, int(rank[a]), int(rank[b])))
    kinds = [pa.string()] * 4 + [pa.int64()] * 2
    heads = ["from", "to", "recipe", "overtakes", "rank", "rank_of_overtaken"]
    columns = zip(*rows, strict=True) if rows else [()] * len(heads)
    title = f"Who overtakes whom, among the first {WATCHED}"
    return table(title, {h: Column(pa.array(list(c), k)) for h, c, k in zip(heads, columns, kinds, strict=True)})
