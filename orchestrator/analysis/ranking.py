"""Question 1, which recipe wins and how sure that is, and question 2, the optimizer x schedule matrix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from orchestrator.analysis.comparison import Column, bounds, interval_columns, recipe_columns, table
from orchestrator.analysis.learned import GridEdge, grid_edges, learned
from orchestrator.analysis.observations import METRICS, RecipeLabel, TrialArrays
from orchestrator.analysis.race import Leaving
from orchestrator.statistics import descriptive
from orchestrator.statistics.claim import Claim, claim
from orchestrator.statistics.descriptive import Bools, Differences, Floats, Intervals, Ints
from orchestrator.statistics.pairs import Pairs

WINNER = "winner"
EQUIVALENT = "as good as the best"
SAME = "not distinguishable"
DIFFERENT = "different"
WITHHELD = "withheld"
UNTESTED = "not tested"
NOT_LEARNED = "did not learn"
NO_RESULT = "no result"
WINS_RECIPES = 20
"""The recipes of which every pair is shown."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The order of the recipes and its statistics. Arrays have one entry per recipe, in planned order.

    order: int64, the numbers of the recipes, the best first, recipes without a rank last.
    rank: int64, from 1; 0 for a recipe without a result and for one that did not learn.
    winner: the first recipe of the order; None without any rank.
    final, best: intervals by metric, of the last and of the best epoch.
    best_epoch: intervals of the best epoch's number, from 1.
    learned: bool, false for a recipe that learned nothing in any seed.
    values: float64 [recipes, seeds], the final monitored metric; NaN for a seed that is missing or diverged.
    claim: what can be claimed about the best recipe, from the values.
    difference: the final metric minus the winner's, over common seeds, with 95 % intervals of this one pair.
    edges: the recipes whose learning rate is the best and the last of those that were tried.
    verdict: one of the eight above.
    planned, diverged: int64, the number of seeds planned and of seeds that diverged.
    """

    order: Ints
    rank: Ints
    winner: int | None
    final: dict[str, Intervals]
    best: dict[str, Intervals]
    best_epoch: Intervals
    learned: Bools
    values: Floats
    claim: Claim
    difference: Differences
    edges: tuple[GridEdge, ...]
    verdict: tuple[str, ...]
    planned: Ints
    diverged: Ints


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


def rank_recipes(
    arrays: TrialArrays,
    monitor: str,
    sign: int,
    level: float,
    equivalence: float | None = None,
    left: Mapping[RecipeLabel, Leaving] | None = None,
) -> Ranking:
    """Rank the recipes by their mean final `monitor` over seeds, and say which of them may be the best.

    A diverged trial is a result and counts with its last epoch in the mean. Recipes are compared on the seeds that
    did not diverge, and a recipe with a diverged seed rules no other out. Equal means share a rank, the first rank
    too; among them a recipe with more seeds, then an earlier planned recipe, precedes in the order. A recipe that
    did not learn has no rank and is compared with none. `equivalence` is the difference that does not matter.

    In a race `left` has the recipes that left it, None stands for no race. They rank after those that are in it:
    they have fewer seeds, perhaps the easier ones. The confidence set is then what the race has left, since it was
    looked at many times.
    """
    recipe_count, results = len(arrays.recipes), arrays.results
    groups = arrays.recipe[results]

    def by_metric(rows: Ints) -> dict[str, Intervals]:
        return {
            metric: descriptive.intervals(values[rows], groups, recipe_count, bounds(metric), level)
            for metric, values in arrays.metrics.items()
        }

    last, best = arrays.last_rows(results), best_rows(arrays, monitor, sign)
    final = by_metric(last)
    best_epochs = (best - arrays.first[results] + 1).astype(np.float64)
    has_learned = learned(arrays, monitor, sign)
    ranked = (final[monitor].n > 0) & has_learned
    has_left = np.array([recipe in (left or {}) for recipe in arrays.recipes], np.bool_)
    score = descriptive.leveled(np.where(ranked, sign * final[monitor].mean, np.nan))
    if (has_left & ranked).any():
        finite = score[np.isfinite(score)]
        score = np.where(has_left, score - (np.ptp(finite) + 1.0 if len(finite) else 0.0), score)
    rank = descriptive.ranks(score)
    order = np.lexsort((np.arange(recipe_count), -final[monitor].n, np.where(ranked, -score, np.inf), ~ranked))
    diverged = np.array([t.status == "diverged" for t in arrays.trials], np.int64)
    diverged_seeds = np.bincount(arrays.recipe, diverged, recipe_count).astype(np.int64)
    values = _values(arrays, arrays.metrics[monitor][last])
    evidence = claim(sign * values, order, ranked, diverged_seeds == 0, level)
    if left is not None:
        evidence = replace(evidence, in_set=ranked & ~has_left)
    edges = grid_edges(arrays, sign * np.where(final[monitor].n > 0, final[monitor].mean, np.nan))
    winner = int(order[0]) if recipe_count and ranked[order[0]] else None
    return Ranking(
        order=order,
        rank=rank,
        winner=winner,
        final=final,
        best=by_metric(best),
        best_epoch=descriptive.intervals(best_epochs, groups, recipe_count, (1.0, np.inf), level),
        learned=has_learned,
        values=values,
        claim=evidence,
        difference=_differences(evidence.pairs, winner, sign, level),
        edges=edges,
        verdict=_verdicts(rank, final[monitor].n, has_learned, evidence, edges, equivalence, level),
        planned=np.bincount(arrays.recipe, minlength=recipe_count),
        diverged=diverged_seeds,
    )


def _values(arrays: TrialArrays, final: Floats) -> Floats:
    """The `final` value of each result by recipe and seed; NaN for a diverged trial and for an infinite value."""
    results = arrays.results
    seeds, column = np.unique(arrays.seed[results], return_inverse=True)
    diverged = np.array([arrays.trials[trial].status == "diverged" for trial in results], np.bool_)
    values = np.full((len(arrays.recipes), len(seeds)), np.nan)
    values[arrays.recipe[results], column] = np.where(diverged | ~np.isfinite(final), np.nan, final)
    return values


def _differences(pairs: Pairs, winner: int | None, sign: int, level: float) -> Differences:
    """The differences to the winner in the metric's own direction."""
    column = np.flatnonzero(pairs.rivals == -1 if winner is None else pairs.rivals == winner)
    if not len(column):
        missing = np.full(len(pairs.n), np.nan)
        return Differences(pairs=np.zeros(len(pairs.n), np.int64), mean=missing, low=missing, high=missing)
    mean = sign * pairs.mean[:, column[0]]
    half_width = (pairs.quantile(np.array(0.5 + level / 2)) * pairs.error)[:, column[0]]
    return Differences(pairs=pairs.n[:, column[0]], mean=mean, low=mean - half_width, high=mean + half_width)


def _verdicts(
    rank: Ints,
    n: Ints,
    has_learned: Bools,
    evidence: Claim,
    edges: Sequence[GridEdge],
    equivalence: float | None,
    level: float,
) -> tuple[str, ...]:
    at_edge = {edge.recipe for edge in edges}
    result = []
    for recipe in range(len(rank)):
        if not n[recipe]:
            result.append(NO_RESULT)
        elif not has_learned[recipe]:
            result.append(NOT_LEARNED)
        elif rank[recipe] == 1:
            result.append(WINNER)
        elif equivalence is not None and evidence.behind_at_most[recipe] <= equivalence:
            result.append(EQUIVALENT)
        elif np.isnan(evidence.p[recipe]):
            result.append(UNTESTED)
        elif evidence.in_set[recipe]:
            result.append(SAME)
        else:
            result.append(WITHHELD if recipe in at_edge else DIFFERENT)
    return tuple(result)


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
    d, rank, reasons = ranking.difference, ranking.rank[order], ranking.final[monitor].reasons
    columns = {"rank": Column(pa.array(rank, pa.int64(), mask=rank == 0))}
    columns |= recipe_columns([arrays.recipes[r] for r in order])
    columns |= {
        "n": Column(n[order], "seeds that ended"),
        "planned": Column(ranking.planned[order], "seeds planned"),
        "diverged": Column(ranking.diverged[order], "seeds that diverged"),
    }
    for metric in METRICS:
        columns |= interval_columns(f"final_{metric}", ranking.final[metric], order, f"final {METRICS[metric]}")
    columns["no_interval"] = Column(pa.array([reasons[r] for r in order], pa.string()), "why there is no interval")
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
        "p": Column(ranking.claim.p[order], "the error probability at which it is not the best"),
        "in_set": Column(ranking.claim.in_set[order], "in the confidence set for the best"),
        "best_probability": Column(ranking.claim.best_probability[order], "probability of being the best"),
        "behind_at_most": Column(ranking.claim.behind_at_most[order], "behind the best at most"),
        "verdict": Column([ranking.verdict[r] for r in order], "may it be the best?"),
    }
    return table("Recipes, best first", columns)


def winner_value(ranking: Ranking, monitor: str, sign: int) -> dict[str, float | None]:
    """The winner's final metric, corrected for having been chosen, with its interval: value, low, high."""
    corrected = ranking.claim.winner
    if corrected is None:
        return {"value": None, "low": None, "high": None}
    ends = sorted((sign * corrected.low, sign * corrected.high))
    value, low, high = np.clip([sign * corrected.value, *ends], *bounds(monitor)).tolist()
    return {"value": value, "low": low, "high": high}


def wins_table(arrays: TrialArrays, ranking: Ranking) -> pa.Table:
    """Both orders of every pair of the first WINS_RECIPES, with the probability that `recipe` beats `rival`."""
    pairs = ranking.claim.pairs
    first = pairs.rivals[:WINS_RECIPES]
    probability = pairs.wins()[first, : len(first)]
    rows, columns = np.nonzero(np.isfinite(probability))
    rival = [arrays.recipes[first[column]].text for column in columns]
    cells = recipe_columns([arrays.recipes[first[row]] for row in rows])
    cells |= {
        "rival": Column(pa.array(rival, pa.string())),
        "n": Column(pairs.n[first, : len(first)][rows, columns], "seeds in common"),
        "probability": Column(probability[rows, columns], "probability that the recipe beats the rival"),
    }
    return table("Who beats whom on a new seed", cells)


def matrix_table(arrays: TrialArrays, ranking: Ranking, monitor: str, sign: int) -> pa.Table:
    """One row per recipe in planned order: the cells of the optimizer x schedule matrix.

    `shade` grows with the mean, from 0 (worst) to 1 (best). Shade 0 is no further below the median than the best
    is
    above it: otherwise one recipe at chance would give all others the same shade.
    """
    final = ranking.final[monitor]
    score = descriptive.leveled(np.where(np.isfinite(final.mean), sign * final.mean, np.nan))
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
