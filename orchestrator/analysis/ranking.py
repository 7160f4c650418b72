"""Question 1, which recipe wins and how sure that is, and question 2, the optimizer x schedule matrix."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from orchestrator.analysis import statistics
from orchestrator.analysis.comparison import Column, bounds, interval_columns, recipe_columns, table
from orchestrator.analysis.observations import METRICS, TrialArrays
from orchestrator.analysis.statistics import Differences, Floats, Intervals, Ints

WINNER = "winner"
SAME = "not distinguishable"
DIFFERENT = "different"
UNTESTED = "not tested"
NO_RESULT = "no result"


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The order of the recipes and its statistics. Arrays have one entry per recipe, in planned order.

    order: int64, the numbers of the recipes, the best first, recipes without a result last.
    rank: int64, from 1; 0 for a recipe without a result.
    winner: the first recipe of the order, which the others are tested against; None without any result.
    final, best: intervals by metric, of the last and of the best epoch.
    best_epoch: intervals of the best epoch's number, from 1.
    difference: the final metric minus the winner's, over common seeds; `p` its p-values, Holm-corrected.
    verdict: WINNER, SAME, DIFFERENT, UNTESTED or NO_RESULT.
    planned, diverged: int64, the number of seeds planned and of seeds that diverged.
    comparisons: the number of tests; `fewest` the smallest number of pairs in a test, 0 without a test.
    """

    order: Ints
    rank: Ints
    winner: int | None
    final: dict[str, Intervals]
    best: dict[str, Intervals]
    best_epoch: Intervals
    difference: Differences
    p: Floats
    verdict: tuple[str, ...]
    planned: Ints
    diverged: Ints
    comparisons: int
    fewest: int


def best_rows(arrays: TrialArrays, monitor: str, sign: int) -> Ints:
    """The row of each result's best epoch, the first of equal epochs. int64 [results]."""
    results = arrays.results
    rows = arrays.rows(results)
    if not len(rows):
        return rows
    count = arrays.count[results]
    starts = np.cumsum(count) - count
    score = sign * arrays.metrics[monitor][rows]
    maxima = np.flatnonzero(score == np.repeat(np.maximum.reduceat(score, starts), count))
    _, earliest = np.unique(np.repeat(np.arange(len(results)), count)[maxima], return_index=True)
    return np.asarray(rows[maxima[earliest]], np.int64)


def _verdicts(rank: Ints, p: Floats, deficit: Floats, level: float) -> tuple[str, ...]:
    result = []
    for recipe in range(len(rank)):
        if not rank[recipe]:
            result.append(NO_RESULT)
        elif rank[recipe] == 1:
            result.append(WINNER)
        elif np.isnan(p[recipe]):
            result.append(UNTESTED)
        else:
            result.append(DIFFERENT if p[recipe] <= 1 - level and deficit[recipe] > 0 else SAME)
    return tuple(result)


def rank_recipes(arrays: TrialArrays, monitor: str, sign: int, level: float) -> Ranking:
    """Rank the recipes by their mean final `monitor` over seeds, and test each against the first.

    A diverged trial is a result and counts with its last epoch. A recipe with a diverged seed is ranked by that
    mean
    but not tested: a diverged seed is itself a difference, and a t-test over successes and failures would hide it.
    Equal means share a rank, the first rank too; among them a recipe with more seeds, then an earlier planned
    recipe, precedes in the order. With unequal seeds a recipe may be better than the winner on their common seeds;
    its verdict is then SAME, whatever its p.
    """
    recipe_count, results = len(arrays.recipes), arrays.results
    groups = arrays.recipe[results]

    def by_metric(rows: Ints) -> dict[str, Intervals]:
        return {
            metric: statistics.intervals(values[rows], groups, recipe_count, bounds(metric), level)
            for metric, values in arrays.metrics.items()
        }

    last, best = arrays.last_rows(results), best_rows(arrays, monitor, sign)
    final = by_metric(last)
    best_epochs = (best - arrays.first[results] + 1).astype(np.float64)
    n, score = final[monitor].n, statistics.leveled(sign * final[monitor].mean)
    rank = statistics.ranks(score)
    order = np.lexsort((np.arange(recipe_count), -n, np.where(n > 0, -score, np.inf), n == 0))
    diverged = np.array([t.status == "diverged" for t in arrays.trials], np.int64)
    diverged_seeds = np.bincount(arrays.recipe, diverged, recipe_count).astype(np.int64)
    winner = int(order[0]) if recipe_count and n[order[0]] else None
    values = arrays.metrics[monitor][last]
    reference = -1 if winner is None else winner
    difference = statistics.paired(values, groups, arrays.seed[results], reference, recipe_count, level=level)
    winner_diverged = winner is not None and diverged_seeds[winner] > 0
    untested = (diverged_seeds > 0) | (np.arange(recipe_count) == reference) | winner_diverged
    p = np.where(untested, np.nan, difference.p)
    tested = ~np.isnan(p)
    adjusted = statistics.holm(p)
    return Ranking(
        order=order,
        rank=rank,
        winner=winner,
        final=final,
        best=by_metric(best),
        best_epoch=statistics.intervals(best_epochs, groups, recipe_count, (1.0, np.inf), level),
        difference=difference,
        p=adjusted,
        verdict=_verdicts(rank, adjusted, -sign * difference.mean, level),
        planned=np.bincount(arrays.recipe, minlength=recipe_count),
        diverged=diverged_seeds,
        comparisons=int(tested.sum()),
        fewest=int(difference.pairs[tested].min()) if tested.any() else 0,
    )


def best_label(metric: str, monitor: str) -> str:
    """The label of a metric of the best epoch: only the monitored metric is itself the best."""
    return f"best {METRICS[metric]}" if metric == monitor else f"{METRICS[metric]} in the best epoch"


def ranking_table(arrays: TrialArrays, ranking: Ranking, monitor: str) -> pa.Table:
    """One row per recipe, in the order of `ranking`; `rank_recipes` has the rules."""
    order, results, recipe_count = ranking.order, arrays.results, len(arrays.recipes)
    groups = arrays.recipe[results]
    result_of_row = np.repeat(np.arange(len(results)), arrays.count[results])
    trial_seconds = np.bincount(result_of_row, arrays.seconds[arrays.rows(results)], len(results))
    n = np.bincount(groups, minlength=recipe_count)
    with np.errstate(invalid="ignore", divide="ignore"):
        epochs = np.bincount(groups, arrays.count[results], recipe_count) / n
        seconds = np.bincount(groups, trial_seconds, recipe_count) / n
    d, rank = ranking.difference, ranking.rank[order]
    columns = {"rank": Column(pa.array(rank, pa.int64(), mask=rank == 0))}
    columns |= recipe_columns([arrays.recipes[r] for r in order])
    columns |= {
        "n": Column(n[order], "seeds that ended"),
        "planned": Column(ranking.planned[order], "seeds planned"),
        "diverged": Column(ranking.diverged[order], "seeds that diverged"),
    }
    for metric in METRICS:
        columns |= interval_columns(f"final_{metric}", ranking.final[metric], order, f"final {METRICS[metric]}")
    columns["no_interval"] = Column(
        pa.array([ranking.final[monitor].reasons[r] for r in order], pa.string()), "why there is no interval"
    )
    for metric in METRICS:
        columns |= interval_columns(f"best_{metric}", ranking.best[metric], order, best_label(metric, monitor))
    columns |= {
        "best_epoch": Column(ranking.best_epoch.mean[order], "best epoch, mean", "epochs"),
        "epochs": Column(epochs[order], "epochs a trial, mean", "epochs"),
        "seconds": Column(seconds[order], "training time a trial, mean", "s"),
        "pairs": Column(d.pairs[order], "seeds in common with the winner"),
        "difference_mean": Column(d.mean[order], f"{METRICS[monitor]} minus the winner's"),
        "difference_low": Column(d.low[order], "difference, low end"),
        "difference_high": Column(d.high[order], "difference, high end"),
        "p": Column(ranking.p[order], "p, paired t-test, Holm-corrected"),
        "verdict": Column([ranking.verdict[r] for r in order], "against the winner"),
    }
    return table("Recipes, best first", columns)


def matrix_table(arrays: TrialArrays, ranking: Ranking, monitor: str, sign: int) -> pa.Table:
    """One row per recipe in planned order: the cells of the optimizer x schedule matrix.

    `shade` grows with the mean, from 0 (worst) to 1 (best). Shade 0 is no further below the median than the best
    is
    above it: otherwise one recipe at chance would give all others the same shade.
    """
    final = ranking.final[monitor]
    score = statistics.leveled(np.where(np.isfinite(final.mean), sign * final.mean, np.nan))
    shade = np.where(np.isnan(score) & (final.n > 0), 0.0, score)
    if np.isfinite(score).any():
        maximum, median = np.nanmax(score), np.nanmedian(score)
        minimum = max(float(np.nanmin(score)), 2 * median - maximum)
        width = max(maximum - minimum, 1e-12)
        shade = np.where(
            np.isnan(score), shade, np.clip((score - minimum) / width, 0, 1) if maximum > minimum else 1.0
        )
    columns = recipe_columns(arrays.recipes)
    columns |= interval_columns("final", final, np.arange(len(arrays.recipes)), f"final {METRICS[monitor]}")
    columns |= {
        "n": Column(final.n, "seeds that ended"),
        "diverged": Column(ranking.diverged, "seeds that diverged"),
        "rank": Column(pa.array(ranking.rank, pa.int64(), mask=ranking.rank == 0)),
        "verdict": Column(list(ranking.verdict), "against the winner"),
        "shade": Column(shade, "place in the colour scale"),
    }
    return table("Optimizer x schedule", columns)
