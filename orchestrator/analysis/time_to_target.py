"""Question 4, how fast to a target; 5, how touchy to the peak learning rate; 6, against published figures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from experiments import settings as checks
from orchestrator.analysis import statistics
from orchestrator.analysis.comparison import Column, bounds, names, spread, table
from orchestrator.analysis.observations import METRICS, Recipe, TrialArrays
from orchestrator.analysis.ranking import Ranking
from orchestrator.analysis.statistics import Floats, Ints

RATE_AXES = ("learning_rate", "peak")


def middle(runs: TrialArrays, monitor: str) -> float | None:
    """The median of the finals of all trials that ended: the target where none is given."""
    trials = runs.results
    last = runs.metrics[monitor][runs.first[trials] + runs.count[trials] - 1]
    return float(np.median(last)) if len(last) else None


def _reach(runs: TrialArrays, monitor: str, sign: int, target: float) -> tuple[Floats, Floats]:
    trial = np.repeat(np.arange(len(runs.count)), runs.count)
    hits = np.flatnonzero(sign * runs.metrics[monitor] >= sign * target)
    reached, at = np.unique(trial[hits], return_index=True)
    row = hits[at]
    epochs, seconds = np.full(len(runs.count), np.inf), np.full(len(runs.count), np.inf)
    elapsed = np.concatenate([[0.0], np.cumsum(runs.seconds)])
    epochs[reached] = row - runs.first[reached] + 1
    seconds[reached] = elapsed[row + 1] - elapsed[runs.first[reached]]
    return epochs[runs.results], seconds[runs.results]


def targets(
    runs: TrialArrays, at: Ranking, monitor: str, sign: int, target: float | None
) -> tuple[pa.Table, pa.Table]:
    """Epochs and seconds until `monitor` first reaches `target`, and the performance profiles.

    Over the seeds of a recipe: the median and the slowest; infinite where a seed never gets there. A seed is
    a
    problem of the profile: its ratio is the trial's time over that of the fastest recipe with the same seed.
    """
    groups, count = runs.recipe[runs.results], len(runs.recipes)
    n = np.bincount(groups, minlength=count)
    if target is None:
        epochs = seconds = np.full(len(groups), np.inf)
    else:
        epochs, seconds = _reach(runs, monitor, sign, target)
    reached = np.bincount(groups, np.isfinite(epochs), count).astype(np.int64)
    measures = {"epochs": epochs, "seconds": seconds}
    found: dict[str, Floats] = {}
    for name, values in measures.items():
        slowest = np.full(count, -np.inf)
        np.maximum.at(slowest, groups, values)
        found[f"{name}_median"] = statistics.medians(values, groups, count)
        found[f"{name}_slowest"] = np.where(n > 0, slowest, np.nan)
    ratio = {name: statistics.ratios(v, runs.seed[runs.results]) for name, v in measures.items()}
    score = statistics.profile_scores(ratio["seconds"], groups, count)
    slow = found["seconds_median"]
    order = np.lexsort((np.arange(count), slow, found["epochs_median"], -reached, n == 0))
    columns = names([runs.recipes[r] for r in order])
    columns |= {
        "n": Column(n[order], "seeds that ended"),
        "reached": Column(reached[order], "seeds that reached it"),
    }
    for name, unit in (("epochs", "epochs"), ("seconds", "s")):
        columns[f"{name}_median"] = Column(found[f"{name}_median"][order], f"{name} to the target, median", unit)
        columns[f"{name}_slowest"] = Column(found[f"{name}_slowest"][order], f"{name}, slowest seed", unit)
    columns["score"] = Column(score[order], "area under the profile up to ratio 4")
    goal = "no target" if target is None else f"{METRICS[monitor]} {target:.3f}"
    return table(f"Time to {goal}", columns), _profile(runs, ratio, groups, n, order)


def _profile(runs: TrialArrays, ratio: Mapping[str, Floats], groups: Ints, n: Ints, order: Ints) -> pa.Table:
    place = np.argsort(order)
    parts = []
    for measure, values in ratio.items():
        ones = np.flatnonzero(n > 0)
        group = np.concatenate([groups, ones])
        at = np.concatenate([values, np.ones(len(ones))])
        solved = np.concatenate([np.ones(len(groups)), np.zeros(len(ones))])
        kept = np.isfinite(at)
        group, at, solved = group[kept], at[kept], solved[kept]
        by = np.lexsort((at, place[group]))
        group, at, solved = group[by], at[by], solved[by]
        running = np.cumsum(solved)
        new = np.flatnonzero(np.diff(group, prepend=-1))
        before = np.repeat(running[new] - solved[new], np.diff(np.append(new, len(group))))
        last = np.append((np.diff(group) != 0) | (np.diff(at) > 0), True) if len(group) else np.zeros(0, bool)
        share = (running - before) / n[group]
        columns = {"measure": Column(pa.array([measure] * int(last.sum()), pa.string()))}
        columns |= names(runs.recipes, group[last])
        columns["ratio"] = Column(at[last], f"{measure} over those of the fastest recipe")
        columns["share"] = Column(share[last], "share of seeds at the target")
        parts.append(table("Performance profile", columns))
    return pa.concat_tables(parts)


def sensitivity(runs: TrialArrays, monitor: str, level: float) -> pa.Table:
    """Final `monitor` against peak learning rate for whatever was run at several rates; else no rows.

    What is the same but for the peak: optimizer, schedule, and every setting that is not itself a learning
    rate.
    """
    trials = runs.results
    last = runs.metrics[monitor][runs.first[trials] + runs.count[trials] - 1]
    keys: dict[tuple[Recipe, float], int] = {}
    groups = []
    for trial in trials:
        planned = runs.planned[trial]
        settings = tuple((k, v) for k, v in planned.recipe.settings if k.rsplit(".", 1)[-1] not in RATE_AXES)
        family = Recipe(planned.optimizer, planned.schedule, settings)
        groups.append(keys.setdefault((family, float(planned.learning_rate)), len(keys)))
    found = statistics.intervals(last, np.array(groups, np.int64), len(keys), bounds(monitor), level)
    rates: dict[Recipe, list[float]] = {}
    for family, rate in keys:
        rates.setdefault(family, []).append(rate)
    pick = [keys[f, r] for f, all_rates in rates.items() if len(all_rates) > 1 for r in sorted(all_rates)]
    pairs = list(keys)
    columns = names([pairs[g][0] for g in pick])
    columns |= {
        "learning_rate": Column(np.array([pairs[g][1] for g in pick], np.float64), "peak learning rate"),
        "n": Column(found.n[pick], "seeds that ended"),
    }
    return table("Touchiness", columns | spread("final", found, pick, f"final {METRICS[monitor]}"))


def published(runs: TrialArrays, at: Ranking, given: Mapping[Any, Mapping[str, float]]) -> pa.Table:
    """Figures published elsewhere beside the finals measured here; no measured figure where there is no
    result.

    Raises InputError for a metric that is none of `METRICS`.
    """
    places = {recipe: place for place, recipe in enumerate(runs.recipes)}
    rows: list[tuple[Recipe, str, float]] = []
    for key, figures in given.items():
        recipe = Recipe(*key)
        for metric, value in figures.items():
            if metric not in METRICS:
                raise checks.unknown(f"published.{recipe.label}.{metric}", "metric", metric, METRICS)
            rows.append((recipe, metric, float(value)))
    measured = np.full((4, len(rows)), np.nan)
    for i, (recipe, metric, _) in enumerate(rows):
        if (place := places.get(recipe)) is not None:
            found = at.final[metric]
            measured[:, i] = found.mean[place], found.low[place], found.high[place], found.n[place]
    mean, low, high, n = measured
    theirs = np.array([value for _, _, value in rows], np.float64)
    inside = pa.array((low <= theirs) & (theirs <= high), pa.bool_(), mask=np.isnan(low))
    columns = names([recipe for recipe, _, _ in rows])
    columns |= {
        "metric": Column(pa.array([metric for _, metric, _ in rows], pa.string())),
        "published": Column(theirs),
        "measured_mean": Column(mean, "measured, final"),
        "measured_low": Column(low, "measured, low end"),
        "measured_high": Column(high, "measured, high end"),
        "n": Column(np.nan_to_num(n).astype(np.int64), "seeds that ended"),
        "difference": Column(mean - theirs, "measured minus published"),
        "inside": Column(inside, "published figure inside the interval"),
    }
    return table("Published against measured", columns)
