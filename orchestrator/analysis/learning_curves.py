"""Every recipe's metrics and learning rate by epoch: the values of the figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.analysis.comparison import Column, recipe_columns, table
from orchestrator.analysis.observations import METRICS, RecipeLabel, TrialArrays


def learning_curve_table(arrays: TrialArrays) -> pa.Table:
    """Mean, lowest and highest of each metric over seeds after 1, 2, ... epochs.

    The trials that ended are counted. Each keeps its last value to the end of the recipe's curve: the curve ends
    at the value in the ranking and has no jump where one seed stops. `trained` is the number of seeds that trained
    the epoch. For a recipe without an ended trial, running trials are counted as far as each has epochs (`ended`
    is false).
    """
    count = len(arrays.recipes)
    has_results = np.bincount(arrays.recipe[arrays.results], minlength=count) > 0
    trials = np.flatnonzero(np.where(has_results[arrays.recipe], arrays.ended, arrays.count > 0))
    length = np.zeros(count, np.int64)
    np.maximum.at(length, arrays.recipe[trials], arrays.count[trials])
    steps = np.where(has_results[arrays.recipe[trials]], length[arrays.recipe[trials]], arrays.count[trials])
    trial = np.repeat(trials, steps)
    epoch = np.arange(steps.sum()) - np.repeat(np.cumsum(steps) - steps, steps)
    first_row = np.cumsum(length) - length
    group = first_row[arrays.recipe[trial]] + epoch
    order = np.argsort(group, kind="stable")
    group, trial, epoch = group[order], trial[order], epoch[order]
    row = arrays.row(trial, epoch + 1)
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    recipe = np.repeat(np.arange(count), length)
    columns = recipe_columns(arrays.recipes, recipe)
    columns |= {
        "epoch": Column(np.arange(length.sum()) - first_row[recipe] + 1, "epochs trained", "epochs"),
        "n": Column(np.bincount(group, minlength=length.sum()), "seeds"),
        "trained": Column(
            np.bincount(group[epoch < arrays.count[trial]], minlength=length.sum()),
            "seeds that trained this epoch",
        ),
        "ended": Column(pa.array(has_results[recipe], pa.bool_())),
    }
    for metric, label in METRICS.items():
        values = arrays.metrics[metric][row]
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


def schedule_table(arrays: TrialArrays, planned_rates: Mapping[Any, Sequence[float]] | None) -> pa.Table:
    """The learning rate at the first step of each epoch: from `planned_rates`, else as recorded."""
    rates_by_recipe = {RecipeLabel(*k): v for k, v in (planned_rates or {}).items()}
    recipes: list[RecipeLabel] = []
    epochs: list[np.ndarray[Any, Any]] = []
    rates: list[np.ndarray[Any, Any]] = []
    longest_trial = {int(arrays.recipe[t]): t for t in np.argsort(arrays.count, kind="stable") if arrays.count[t]}
    for position, recipe in enumerate(arrays.recipes):
        if recipe in rates_by_recipe:
            values = np.asarray(rates_by_recipe[recipe], np.float64)
        elif position in longest_trial:
            trial = longest_trial[position]
            values = arrays.learning_rate[arrays.first[trial] : arrays.first[trial] + arrays.count[trial]]
        else:
            continue
        recipes.append(recipe)
        rates.append(values)
        epochs.append(np.arange(1, len(values) + 1))
    recipe_rows = np.repeat(np.arange(len(recipes)), [len(r) for r in rates])
    columns = recipe_columns(recipes, recipe_rows)
    columns |= {
        "epoch": Column(np.concatenate([np.zeros(0, np.int64), *epochs]), "epoch", "epochs"),
        "learning_rate": Column(np.concatenate([np.zeros(0), *rates]), "learning rate"),
    }
    return table("Learning rate", columns)
