"""Question 1, which recipe wins and is it sure, and question 2, the optimizer x schedule matrix."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from orchestrator.analysis import statistics
from orchestrator.analysis.comparison import Column, bounds, names, spread, table
from orchestrator.analysis.observations import METRICS, TrialArrays
from orchestrator.analysis.statistics import Differences, Floats, Intervals, Ints

WINNER, SAME, DIFFERENT, UNTESTED, NONE = (
    "winner",
    "not distinguishable",
    "different",
    "not tested",
    "no result",
)


@dataclass(frozen=True)
class Ranking:
    """Recipes in order, and what the order rests on. Arrays are [recipes], in planned order unless said.

    `order` int64 lists recipes from the best to those without a result; `rank` is 0 for these; `winner` is
    the first in order, against which the others are tested, None where there is no result. `final` and `best`
    hold Intervals by metric, `difference` is to the winner.
    `comparisons` is the number of tests made, `fewest` the smallest number of seeds any of them had.
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


def best_rows(runs: TrialArrays, monitor: str, sign: int) -> Ints:
    """The row of each result's best epoch, the first of equals. int64 [results]."""
    trials = runs.results
    rows = runs.rows(trials)
    if not len(rows):
        return rows
    count = runs.count[trials]
    starts = np.cumsum(count) - count
    score = sign * runs.metrics[monitor][rows]
    top = np.maximum.reduceat(score, starts)
    at = np.flatnonzero(score == np.repeat(top, count))
    _, earliest = np.unique(np.repeat(np.arange(len(trials)), count)[at], return_index=True)
    return np.asarray(rows[at[earliest]], np.int64)


def _verdicts(rank: Ints, p: Floats, worse: Floats, level: float) -> tuple[str, ...]:
    result = []
    for place in range(len(rank)):
        if not rank[place]:
            result.append(NONE)
        elif rank[place] == 1:
            result.append(WINNER)
        elif np.isnan(p[place]):
            result.append(UNTESTED)
        else:
            result.append(DIFFERENT if p[place] <= 1 - level and worse[place] > 0 else SAME)
    return tuple(result)


def stand(runs: TrialArrays, monitor: str, sign: int, level: float) -> Ranking:
    """Rank the recipes by their mean final `monitor` over seeds, and test each against the first.

    A trial that diverged is a result and counts with what it had in its last epoch. A recipe with a diverged
    seed
    is ranked by that mean but not tested: that a seed diverges is itself a difference, and a t-test of the
    mean of successes and failures would only hide it. Equal means share a rank, the first one too; among them the
    one with more seeds, then the one planned first, stands first. With unequal seeds a recipe may be
    ahead of the winner on the seeds they share; whatever its p, it is then not told apart.
    """
    count, trials = len(runs.recipes), runs.results
    groups = runs.recipe[trials]
    last, best = runs.first[trials] + runs.count[trials] - 1, best_rows(runs, monitor, sign)
    final_of = {m: statistics.intervals(v[last], groups, count, bounds(m), level) for m, v in runs.metrics.items()}
    best_of = {m: statistics.intervals(v[best], groups, count, bounds(m), level) for m, v in runs.metrics.items()}
    epochs = (best - runs.first[trials] + 1).astype(np.float64)
    n, score = final_of[monitor].n, statistics.leveled(sign * final_of[monitor].mean)
    rank = statistics.ranks(score)
    order = np.lexsort((np.arange(count), -n, np.where(n > 0, -score, np.inf), n == 0))
    diverged = np.array([t.status == "diverged" for t in runs.planned], np.int64)
    lost = np.bincount(runs.recipe, diverged, count).astype(np.int64)
    winner = int(order[0]) if count and n[order[0]] else None
    values = runs.metrics[monitor][last]
    against = -1 if winner is None else winner
    difference = statistics.paired(values, groups, runs.seed[trials], against, count, level=level)
    untested = (lost > 0) | (np.arange(count) == against) | (against >= 0 and lost[against] > 0)
    p = np.where(untested, np.nan, difference.p)
    tested = ~np.isnan(p)
    adjusted = statistics.holm(p)
    return Ranking(
        order=order,
        rank=rank,
        winner=winner,
        final=final_of,
        best=best_of,
        best_epoch=statistics.intervals(epochs, groups, count, (1.0, np.inf), level),
        difference=difference,
        p=adjusted,
        verdict=_verdicts(rank, adjusted, -sign * difference.mean, level),
        planned=np.bincount(runs.recipe, minlength=count),
        diverged=lost,
        comparisons=int(tested.sum()),
        fewest=int(difference.pairs[tested].min()) if tested.any() else 0,
    )


def best_label(metric: str, monitor: str) -> str:
    """What a metric of the best epoch is called: only the monitored one is itself the best."""
    return f"best {METRICS[metric]}" if metric == monitor else f"{METRICS[metric]} in the best epoch"


def ranking(runs: TrialArrays, at: Ranking, monitor: str) -> pa.Table:
    """One row a recipe, in the order of `at`; see `stand` for the rules."""
    order, trials, count = at.order, runs.results, len(runs.recipes)
    groups = runs.recipe[trials]
    rows = runs.rows(trials)
    seconds = np.bincount(np.repeat(np.arange(len(trials)), runs.count[trials]), runs.seconds[rows], len(trials))
    n = np.bincount(groups, minlength=count)
    with np.errstate(invalid="ignore", divide="ignore"):
        epochs = np.bincount(groups, runs.count[trials], count) / n
        took = np.bincount(groups, seconds, count) / n
    d, rank = at.difference, at.rank[order]
    columns = {"rank": Column(pa.array(rank, pa.int64(), mask=rank == 0))}
    columns |= names([runs.recipes[r] for r in order])
    columns |= {
        "n": Column(n[order], "seeds that ended"),
        "planned": Column(at.planned[order], "seeds planned"),
        "diverged": Column(at.diverged[order], "seeds that diverged"),
    }
    for metric in METRICS:
        columns |= spread(f"final_{metric}", at.final[metric], order, f"final {METRICS[metric]}")
    columns["no_interval"] = Column(
        pa.array([at.final[monitor].reasons[r] for r in order], pa.string()), "why there is no interval"
    )
    for metric in METRICS:
        columns |= spread(f"best_{metric}", at.best[metric], order, best_label(metric, monitor))
    columns |= {
        "best_epoch": Column(at.best_epoch.mean[order], "best epoch, mean", "epochs"),
        "epochs": Column(epochs[order], "epochs a trial, mean", "epochs"),
        "seconds": Column(took[order], "training time a trial, mean", "s"),
        "pairs": Column(d.pairs[order], "seeds in common with the winner"),
        "difference_mean": Column(d.mean[order], f"{METRICS[monitor]} minus the winner's"),
        "difference_low": Column(d.low[order], "difference, low end"),
        "difference_high": Column(d.high[order], "difference, high end"),
        "p": Column(at.p[order], "p, paired t-test, Holm-corrected"),
        "verdict": Column([at.verdict[r] for r in order], "against the winner"),
    }
    return table("Recipes, best first", columns)


def matrix(runs: TrialArrays, at: Ranking, monitor: str, sign: int) -> pa.Table:
    """One row a recipe in planned order: the cells of the optimizer x schedule matrix.

    `shade` goes from 0 (worst) to 1 (best) in the recipes' means. Its low end is no further below the median
    than the best is above it, so that one recipe at chance does not paint all others the same.
    """
    found = at.final[monitor]
    score = statistics.leveled(np.where(np.isfinite(found.mean), sign * found.mean, np.nan))
    shade = np.where(np.isnan(score) & (found.n > 0), 0.0, score)
    if np.isfinite(score).any():
        top, middle = np.nanmax(score), np.nanmedian(score)
        bottom = max(float(np.nanmin(score)), 2 * middle - top)
        wide = max(top - bottom, 1e-12)
        shade = np.where(np.isnan(score), shade, np.clip((score - bottom) / wide, 0, 1) if top > bottom else 1.0)
    everyone = np.arange(len(runs.recipes))
    columns = names(runs.recipes) | spread("final", found, everyone, f"final {METRICS[monitor]}")
    columns |= {
        "n": Column(found.n, "seeds that ended"),
        "diverged": Column(at.diverged, "seeds that diverged"),
        "rank": Column(pa.array(at.rank, pa.int64(), mask=at.rank == 0)),
        "verdict": Column(list(at.verdict), "against the winner"),
        "shade": Column(shade, "place in the colour scale"),
    }
    return table("Optimizer x schedule", columns)
