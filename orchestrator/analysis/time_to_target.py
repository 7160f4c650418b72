"""Question 4, the time to a target; 5, the sensitivity to the peak learning rate; 6, published figures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from experiments import settings as checks
from orchestrator.analysis.comparison import Column, bounds, interval_columns, recipe_columns, table
from orchestrator.analysis.learned import family
from orchestrator.analysis.observations import METRICS, RecipeLabel, TrialArrays
from orchestrator.analysis.ranking import Ranking
from orchestrator.statistics import descriptive
from orchestrator.statistics.descriptive import Floats, Ints


def median_final(arrays: TrialArrays, ranking: Ranking, monitor: str) -> float | None:
    """The median final `monitor` of all results that learned, the default target; None without any."""
    results = arrays.results[ranking.learned[arrays.recipe[arrays.results]]]
    final = arrays.metrics[monitor][arrays.last_rows(results)]
    return float(np.median(final)) if len(final) else None


def _times_to(arrays: TrialArrays, monitor: str, sign: int, target: float) -> tuple[Floats, Floats]:
    """Epochs and seconds of each result until `monitor` first reaches `target`; infinite if it never does."""
    trial = np.repeat(np.arange(len(arrays.count)), arrays.count)
    hit_rows = np.flatnonzero(sign * arrays.metrics[monitor] >= sign * target)
    reached, earliest = np.unique(trial[hit_rows], return_index=True)
    row = hit_rows[earliest]
    epochs, seconds = np.full(len(arrays.count), np.inf), np.full(len(arrays.count), np.inf)
    elapsed = np.concatenate([[0.0], np.cumsum(arrays.seconds)])
    epochs[reached] = row - arrays.first[reached] + 1
    seconds[reached] = elapsed[row + 1] - elapsed[arrays.first[reached]]
    return epochs[arrays.results], seconds[arrays.results]


def target_tables(
    arrays: TrialArrays, ranking: Ranking, monitor: str, sign: int, target: float | None
) -> tuple[pa.Table, pa.Table]:
    """Epochs and seconds until `monitor` first reaches `target`, and the performance profiles.

    Each recipe has the median and the slowest of its seeds; a seed that never reaches the target is infinite. A
    seed
    is a problem of the profile: the ratio is the trial's time over that of the fastest recipe with the same seed.
    """
    groups, count = arrays.recipe[arrays.results], len(arrays.recipes)
    n = np.bincount(groups, minlength=count)
    if target is None:
        epochs = seconds = np.full(len(groups), np.inf)
    else:
        epochs, seconds = _times_to(arrays, monitor, sign, target)
    reached = np.bincount(groups, np.isfinite(epochs), count).astype(np.int64)
    measures = {"epochs": epochs, "seconds": seconds}
    times: dict[str, Floats] = {}
    for name, values in measures.items():
        slowest = np.full(count, -np.inf)
        np.maximum.at(slowest, groups, values)
        times[f"{name}_median"] = descriptive.medians(values, groups, count)
        times[f"{name}_slowest"] = np.where(n > 0, slowest, np.nan)
    ratio = {name: descriptive.ratios(v, arrays.seed[arrays.results]) for name, v in measures.items()}
    score = descriptive.profile_scores(ratio["seconds"], groups, count)
    order = np.lexsort((np.arange(count), times["seconds_median"], times["epochs_median"], -reached, n == 0))
    columns = recipe_columns([arrays.recipes[r] for r in order])
    columns |= {
        "n": Column(n[order], "seeds that ended"),
        "reached": Column(reached[order], "seeds that reached it"),
    }
    for name, unit in (("epochs", "epochs"), ("seconds", "s")):
        columns[f"{name}_median"] = Column(times[f"{name}_median"][order], f"{name} to the target, median", unit)
        columns[f"{name}_slowest"] = Column(times[f"{name}_slowest"][order], f"{name}, slowest seed", unit)
    columns["score"] = Column(score[order], "area under the profile up to ratio 4")
    goal = "no target" if target is None else f"{METRICS[monitor]} {target:.3f}"
    return table(f"Time to {goal}", columns), _profile(arrays, ratio, groups, n, order)


def _profile(arrays: TrialArrays, ratios: Mapping[str, Floats], groups: Ints, n: Ints, order: Ints) -> pa.Table:
    """The steps of each recipe's profile by measure, from ratio 1, for the recipes with results in `order`."""
    position = np.argsort(order)
    parts = []
    # Each profile begins at ratio 1, with share 0 where no seed is solved at that ratio.
    nonempty = np.flatnonzero(n > 0)
    all_groups = np.concatenate([groups, nonempty])
    all_solved = np.concatenate([np.ones(len(groups)), np.zeros(len(nonempty))])
    for measure, values in ratios.items():
        all_ratios = np.concatenate([values, np.ones(len(nonempty))])
        finite = np.flatnonzero(np.isfinite(all_ratios))
        rows = finite[np.lexsort((all_ratios[finite], position[all_groups[finite]]))]
        group, ratio, solved = all_groups[rows], all_ratios[rows], all_solved[rows]
        solved_so_far = np.cumsum(solved)
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        solved_in_earlier_groups = np.repeat(
            solved_so_far[starts] - solved[starts], np.diff(np.append(starts, len(group)))
        )
        is_step = (
            np.append((np.diff(group) != 0) | (np.diff(ratio) > 0), True) if len(group) else np.zeros(0, bool)
        )
        share = (solved_so_far - solved_in_earlier_groups) / n[group]
        columns = {"measure": Column(pa.array([measure] * int(is_step.sum()), pa.string()))}
        columns |= recipe_columns(arrays.recipes, group[is_step])
        columns["ratio"] = Column(ratio[is_step], f"{measure} over those of the fastest recipe")
        columns["share"] = Column(share[is_step], "share of seeds at the target")
        parts.append(table("Performance profile", columns))
    return pa.concat_tables(parts)


def sensitivity_table(arrays: TrialArrays, monitor: str, level: float) -> pa.Table:
    """Final `monitor` by peak learning rate, for recipes that ran at several rates; no rows without any.

    Recipes are compared that differ in the peak alone: with one optimizer, one schedule, and equal settings but
    for the learning rate.
    """
    results = arrays.results
    final = arrays.metrics[monitor][arrays.last_rows(results)]
    keys: dict[tuple[RecipeLabel, float], int] = {}
    groups = []
    for trial in (arrays.trials[number] for number in results):
        groups.append(keys.setdefault((family(trial.recipe), float(trial.learning_rate)), len(keys)))
    intervals = descriptive.intervals(final, np.array(groups, np.int64), len(keys), bounds(monitor), level)
    rates: dict[RecipeLabel, list[float]] = {}
    for label, rate in keys:
        rates.setdefault(label, []).append(rate)
    groups_shown = [
        keys[label, rate] for label, by_rate in rates.items() if len(by_rate) > 1 for rate in sorted(by_rate)
    ]
    pairs = list(keys)
    columns = recipe_columns([pairs[g][0] for g in groups_shown])
    columns |= {
        "learning_rate": Column(np.array([pairs[g][1] for g in groups_shown], np.float64), "peak learning rate"),
        "n": Column(intervals.n[groups_shown], "seeds that ended"),
    }
    columns |= interval_columns("final", intervals, groups_shown, f"final {METRICS[monitor]}")
    return table("Sensitivity to the peak learning rate", columns)


def published_table(
    arrays: TrialArrays, ranking: Ranking, figures_by_recipe: Mapping[Any, Mapping[str, float]]
) -> pa.Table:
    """Published figures beside the finals of this sweep; a recipe without a result has no measured figure.

    Raises InputError for a metric that is not in `METRICS`.
    """
    positions = {recipe: position for position, recipe in enumerate(arrays.recipes)}
    rows: list[tuple[RecipeLabel, str, float]] = []
    for key, figures in figures_by_recipe.items():
        recipe = RecipeLabel(*key)
        for metric, value in figures.items():
            if metric not in METRICS:
                raise checks.unknown(f"published.{recipe.text}.{metric}", "metric", metric, METRICS)
            rows.append((recipe, metric, float(value)))
    measured = np.full((4, len(rows)), np.nan)
    for i, (recipe, metric, _) in enumerate(rows):
        if (position := positions.get(recipe)) is not None:
            final = ranking.final[metric]
            measured[:, i] = final.mean[position], final.low[position], final.high[position], final.n[position]
    mean, low, high, n = measured
    published = np.array([value for _, _, value in rows], np.float64)
    inside = pa.array((low <= published) & (published <= high), pa.bool_(), mask=np.isnan(low))
    columns = recipe_columns([recipe for recipe, _, _ in rows])
    columns |= {
        "metric": Column(pa.array([metric for _, metric, _ in rows], pa.string())),
        "published": Column(published),
        "measured_mean": Column(mean, "measured, final"),
        "measured_low": Column(low, "measured, low end"),
        "measured_high": Column(high, "measured, high end"),
        "n": Column(np.nan_to_num(n).astype(np.int64), "seeds that ended"),
        "difference": Column(mean - published, "measured minus published"),
        "inside": Column(inside, "published figure inside the interval"),
    }
    return table("Published against measured", columns)
