"""The comparison: plain Arrow tables with their labels and units, from which every output format prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from orchestrator.analysis.observations import METRICS, Recipe
from orchestrator.analysis.statistics import Intervals


class Column(NamedTuple):
    """Values, what they are called in a heading, and their unit ("" for a plain number or name)."""

    values: Any
    label: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Comparison:
    """What a sweep found. Tables are `pyarrow.Table`; a column's metadata gives `label` and `unit`.

    null: not known (no interval from one seed, no result yet). Infinite: never reached, or a loss without
    bound. No table holds NaN. Every table that speaks of recipes has `recipe`, `optimizer`, `schedule`,
    `settings`.

    answer, notes: sentences: what to use and how sure that is; what the figures mean.
    ranking: one row a recipe, best first: final and best metrics, epochs, seconds, test against the winner.
    matrix: one row an (optimizer, schedule, settings) with its mean; `shade` in 0..1 is where it lies in
    colour.
    stages, overtakes: the rank after 25, 50, 75, 100 % of the epochs; who passed whom in between.
    targets, profile: epochs and seconds until `target` is reached; share of seeds against ratio to the
    fastest.
    sensitivity: final metric against peak learning rate, for what has several rates.
    published: figures given from elsewhere beside those measured.
    cost, totals: trials, epochs, hours, by optimizer and in all. troubles: each trial that did not just
    complete.
    curves, schedules: metrics and learning rate after each epoch, for pictures.
    """

    sweep: str
    monitor: str
    direction: str
    level: float
    target: float | None
    target_given: bool
    answer: tuple[str, ...]
    notes: tuple[str, ...]
    ranking: pa.Table
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


def names(recipes: Sequence[Recipe], pick: Any = None) -> dict[str, Column]:
    """The columns that say which recipe a row is about: one row a recipe, or those in `pick` (int64)."""
    texts = {
        "recipe": [r.label for r in recipes],
        "optimizer": [r.optimizer for r in recipes],
        "schedule": [r.schedule for r in recipes],
        "settings": [", ".join(f"{k}={v}" for k, v in r.settings) for r in recipes],
    }
    arrays = {name: pa.array(values, pa.string()) for name, values in texts.items()}
    return {name: Column(a if pick is None else a.take(pa.array(pick))) for name, a in arrays.items()}


def spread(prefix: str, found: Intervals, pick: Any, label: str, unit: str = "") -> dict[str, Column]:
    """The columns `<prefix>_mean`, `_low`, `_high` for the groups in `pick`."""
    return {
        f"{prefix}_mean": Column(found.mean[pick], label, unit),
        f"{prefix}_low": Column(found.low[pick], f"{label}, low end", unit),
        f"{prefix}_high": Column(found.high[pick], f"{label}, high end", unit),
    }


def bounds(metric: str) -> tuple[float, float]:
    """The values a metric can take: an accuracy lies in [0, 1], a cross-entropy loss is not negative."""
    return (0.0, 1.0) if "accuracy" in metric else (0.0, np.inf)
