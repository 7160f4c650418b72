"""The comparison: Arrow tables with labels and units, which every output format prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from orchestrator.analysis.observations import METRICS, RecipeLabel
from orchestrator.statistics.descriptive import Intervals


class Column(NamedTuple):
    """The values of a column, its heading, and its unit ("" for a number without unit or a name)."""

    values: Any
    label: str = ""
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The result of a sweep. Tables are `pyarrow.Table`; the metadata of a column has its `label` and `unit`.

    A null is a value that is not known (one seed has no interval, a waiting trial no result). An infinite value is
    a target that was never reached, or a loss without bound. No table holds NaN. Every table about recipes has the
    columns `recipe`, `optimizer`, `schedule`, `settings`.

    answer, notes: sentences. The answer names the recipe to use and its certainty; the notes explain the figures.
    equivalence: the difference of the monitored metric that does not matter; None where none was set.
    winner_value: the first recipe's final metric, corrected for having been chosen, with its interval; None each
    where no spread is known.
    ranking: one row per recipe, best first: final and best metrics, epochs, seconds, whether it may be the best.
    horizons: the same among the recipes of each training length alone, where there are several.
    wins: for pairs of the first recipes, the probability that one beats the other on a new seed.
    held_out: the figures on test images of the recipes that may be the best.
    robust_means: interquartile means over seeds. seed_ranks: mean ranks over seeds, with the critical difference.
    certainty: how many more seeds would settle what is open, and what they cost.
    race: who may still be the best in a race, and how each other recipe left; no rows without a race.
    matrix: one row per (optimizer, schedule, settings) with its mean; `shade` in 0..1 is its colour.
    stages: the rank after 25, 50, 75 and 100 % of the epochs. overtakes: each change of order between two stages.
    targets: epochs and seconds until `target` is reached. profile: share of seeds by ratio to the fastest recipe.
    sensitivity: final metric by peak learning rate, for recipes with several rates.
    published: published figures beside measured figures.
    cost, totals: trials, epochs, hours, by optimizer and for the sweep.
    troubles: each trial that did not simply complete.
    curves: learning curves, each metric after each epoch.
    schedules: the learning rate at the first step of each epoch.
    """

    sweep: str
    monitor: str
    direction: str
    level: float
    target: float | None
    target_given: bool
    answer: tuple[str, ...]
    notes: tuple[str, ...]
    equivalence: float | None
    winner_value: Mapping[str, float | None]
    ranking: pa.Table
    horizons: pa.Table
    wins: pa.Table
    held_out: pa.Table
    robust_means: pa.Table
    seed_ranks: pa.Table
    certainty: pa.Table
    race: pa.Table
    matrix: pa.Table
    stages: pa.Table
    overtakes: pa.Table
    targets: pa.Table
    profile: pa.Table
    sensitivity: pa.Table
    published: pa.Table
    cost: pa.Table
    totals: pa.Table
    troubles: pa.Table
    curves: pa.Table
    schedules: pa.Table

    @property
    def monitor_label(self) -> str:
        """The monitored metric in words, such as `validation accuracy`."""
        return METRICS[self.monitor]

    @property
    def tables(self) -> Mapping[str, pa.Table]:
        """Every table by its name, in the order of the fields."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.type is pa.Table}


def table(title: str, columns: Mapping[str, Column]) -> pa.Table:
    """An Arrow table of `columns`, NaN turned into null, labels and units in the metadata."""
    arrays, schema = [], []
    for name, (values, label, unit) in columns.items():
        if isinstance(values, np.ndarray) and values.dtype.kind == "f":
            array = pa.array(values.astype(np.float64), pa.float64(), mask=np.isnan(values))
        else:
            array = pa.array(values)
        if pa.types.is_null(array.type):
            array = array.cast(pa.string())
        arrays.append(array)
        schema.append(
            pa.field(name, array.type, metadata={"label": label or name.replace("_", " "), "unit": unit})
        )
    return pa.table(arrays, schema=pa.schema(schema, metadata={"title": title}))


def recipe_columns(recipes: Sequence[RecipeLabel], rows: Any = None) -> dict[str, Column]:
    """The columns that name the recipe of each row: all `recipes`, or those numbered by `rows` (int64)."""
    texts = {
        "recipe": [r.text for r in recipes],
        "optimizer": [r.optimizer for r in recipes],
        "schedule": [r.schedule for r in recipes],
        "settings": [", ".join(f"{k}={v}" for k, v in r.settings) for r in recipes],
    }
    arrays = {name: pa.array(values, pa.string()) for name, values in texts.items()}
    return {name: Column(a if rows is None else a.take(pa.array(rows))) for name, a in arrays.items()}


def interval_columns(
    prefix: str, intervals: Intervals, rows: Any, label: str, unit: str = ""
) -> dict[str, Column]:
    """The columns `<prefix>_mean`, `_low`, `_high`, one row per group in `rows`."""
    return {
        f"{prefix}_mean": Column(intervals.mean[rows], label, unit),
        f"{prefix}_low": Column(intervals.low[rows], f"{label}, low end", unit),
        f"{prefix}_high": Column(intervals.high[rows], f"{label}, high end", unit),
    }


def bounds(metric: str) -> tuple[float, float]:
    """The values a metric can take: an accuracy lies in [0, 1], a cross-entropy loss is not negative."""
    return (0.0, 1.0) if "accuracy" in metric else (0.0, np.inf)
