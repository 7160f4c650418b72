"""The figures behind the pictures: every recipe's metrics and learning rate after each epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.analysis.comparison import Column, names, table
from orchestrator.analysis.observations import METRICS, Recipe, TrialArrays


def curves(runs: TrialArrays) -> pa.Table:
    """Mean, lowest and highest of each metric over seeds after 1, 2, ... epochs.

    Trials that ended are counted, and keep their last value to the end of the recipe's curve, so that a curve
    ends at the figure in the ranking and does not jump where one seed stops; `trained` says how many really
    trained that epoch. Where no trial of a recipe has ended, those under way are drawn as far as each went
    (`ended` false).
    """
    count = len(runs.recipes)
    has = np.bincount(runs.recipe[runs.results], minlength=count) > 0
    trials = np.flatnonzero(np.where(has[runs.recipe], runs.ended, runs.count > 0))
    length = np.zeros(count, np.int64)
    np.maximum.at(length, runs.recipe[trials], runs.count[trials])
    steps = np.where(has[runs.recipe[trials]], length[runs.recipe[trials]], runs.count[trials])
    trial = np.repeat(trials, steps)
    epoch = np.arange(steps.sum()) - np.repeat(np.cumsum(steps) - steps, steps)
    begin = np.cumsum(length) - length
    group = begin[runs.recipe[trial]] + epoch
    order = np.argsort(group, kind="stable")
    group, trial, epoch = group[order], trial[order], epoch[order]
    row = runs.row(trial, epoch + 1)
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    recipe = np.repeat(np.arange(count), length)
    columns = names(runs.recipes, recipe)
    columns |= {
        "epoch": Column(np.arange(length.sum()) - begin[recipe] + 1, "epochs trained", "epochs"),
        "n": Column(np.bincount(group, minlength=length.sum()), "seeds"),
        "trained": Column(
            np.bincount(group[epoch < runs.count[trial]], minlength=length.sum()),
            "seeds that trained this epoch",
        ),
        "ended": Column(pa.array(has[recipe], pa.bool_())),
    }
    for metric, label in METRICS.items():
        values = runs.metrics[metric][row]
        sums = np.add.reduceat(values, starts) if len(starts) else values
        lowest = np.minimum.reduceat(values, starts) if len(starts) else values
        highest = np.maximum.reduceat(values, starts) if len(starts) else values
        n = np.diff(np.append(starts, len(group)))
        columns |= {
            f"{metric}_mean": Column(sums / n, label),
            f"{metric}_lowest": Column(lowest, f"{label}, lowest seed"),
            f"{metric}_highest": Column(highest, f"{label}, highest seed"),
        }
    return table("Learning curves", columns)


def schedules(runs: TrialArrays, given: Mapping[Any, Sequence[float]] | None) -> pa.Table:
    """The learning rate at the first step of each epoch, as given or, where not given, as recorded."""
    tables = {Recipe(*k): v for k, v in (given or {}).items()}
    recipes: list[Recipe] = []
    epochs: list[np.ndarray[Any, Any]] = []
    rates: list[np.ndarray[Any, Any]] = []
    longest = {int(runs.recipe[t]): t for t in np.argsort(runs.count, kind="stable") if runs.count[t]}
    for place, recipe in enumerate(runs.recipes):
        if recipe in tables:
            values = np.asarray(tables[recipe], np.float64)
        elif place in longest:
            trial = longest[place]
            values = runs.learning_rate[runs.first[trial] : runs.first[trial] + runs.count[trial]]
        else:
            continue
        recipes.append(recipe)
        rates.append(values)
        epochs.append(np.arange(1, len(values) + 1))
    every = np.repeat(np.arange(len(recipes)), [len(r) for r in rates])
    columns = names(recipes, every)
    columns |= {
        "epoch": Column(np.concatenate([np.zeros(0, np.int64), *epochs]), "epoch", "epochs"),
        "learning_rate": Column(np.concatenate([np.zeros(0), *rates]), "learning rate"),
    }
    return table("Learning rate", columns)
