"""Epoch records: the columns of the history, and the look-up of what is known under an epoch key."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from experiments.callbacks import METRICS, TEST_METRICS
from orchestrator.storage import checksums

HISTORY = pa.schema(
    [
        ("sweep", pa.string()),
        ("trial_id", pa.string()),
        ("optimizer", pa.string()),
        ("schedule", pa.string()),
        ("seed", pa.int64()),
        ("epoch", pa.int64()),
        ("loss", pa.float64()),
        ("accuracy", pa.float64()),
        ("val_loss", pa.float64()),
        ("val_accuracy", pa.float64()),
        ("learning_rate", pa.float64()),
        ("learning_rate_end", pa.float64()),
        ("seconds", pa.float64()),
        ("images_per_second", pa.float64()),
        ("epoch_key", pa.string()),
        ("reused", pa.bool_()),
        ("host", pa.string()),
        ("device", pa.string()),
        ("started_at", pa.timestamp("us", tz="UTC")),
        ("test_loss", pa.float64()),
        ("test_accuracy", pa.float64()),
    ]
)
"""One row per trial and epoch. Units: loss in nats, accuracies 0 to 1, seconds of training and evaluation.

The metrics of the test set are null where there is none.
"""
_WITHOUT_TEST = pa.schema([field for field in HISTORY if field.name not in TEST_METRICS])
"""The columns of files that were written before there was a test set."""

Row = Mapping[str, Any]


def table(rows: Sequence[Row]) -> pa.Table:
    """Rows as a table with the history's columns."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=HISTORY)


def read(content: bytes) -> pa.Table:
    """The history in a file's `content`; one without the columns of the test set has null there.

    Raises ValueError for content that is damaged or has other columns, pyarrow's errors for no Parquet.
    """
    rows = checksums.read_table(content)
    if rows.schema.equals(_WITHOUT_TEST):
        for name in TEST_METRICS:
            rows = rows.append_column(HISTORY.field(name), pa.nulls(len(rows), pa.float64()))
    if not rows.schema.equals(HISTORY):
        raise ValueError("its columns are not those expected")
    return rows


def for_trial(row: Row, sweep: str, trial_id: str, optimizer: str, schedule: str, seed: int) -> dict[str, Any]:
    """`row`, trained for some other trial, as a row of this one: taken, not trained."""
    labels = {
        "sweep": sweep,
        "trial_id": trial_id,
        "optimizer": optimizer,
        "schedule": schedule,
        "seed": seed,
    }
    return {**row, **labels, "reused": True}


def by_trial(merged: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each trial of a table in which they stand together."""
    if not len(merged):
        return
    runs = pc.run_end_encode(merged["trial_id"].combine_chunks())
    start = 0
    for end, trial_id in zip(runs.run_ends.to_pylist(), runs.values.to_pylist(), strict=True):
        yield trial_id, merged.slice(start, end - start)
        start = end


@dataclass(frozen=True)
class Histories:
    """What is recorded: `current` by sweep and trial, `superseded` of settings that no sweep has any more.

    `runs` is each sweep's run.json as it was before that sweep was read: if it has changed, there is more to read.
    """

    current: Mapping[str, Mapping[str, pa.Table]]
    superseded: Sequence[pa.Table]
    runs: Mapping[str, bytes]

    def same_epochs(self, other: "Histories") -> bool:
        """Whether every table is the same object in `other`, which a store gives while no file has changed."""
        tables, other_tables = [*self.everything()], [*other.everything()]
        return len(tables) == len(other_tables) and all(a is b for a, b in zip(tables, other_tables, strict=True))

    def everything(self) -> Iterator[pa.Table]:
        """All tables."""
        yield from self.superseded
        for trials in self.current.values():
            yield from trials.values()


class EpochIndex:
    """The epochs of some histories, by key. Of several rows with one key, one that was trained counts."""

    def __init__(self, tables: Iterable[pa.Table] = ()) -> None:
        """The index of history `tables`; among trained rows with one key the first counts."""
        merged = pa.concat_tables([HISTORY.empty_table(), *tables])
        self._rows = merged.take(pc.sort_indices(merged["reused"])) if len(merged) else merged
        keys = self._rows["epoch_key"].to_pylist()
        self._index = {key: i for i, key in zip(range(len(keys) - 1, -1, -1), reversed(keys), strict=True)}
        self._metrics = list(zip(*(self._rows[m].to_pylist() for m in METRICS), strict=True))

    def __len__(self) -> int:
        """How many epochs are known."""
        return len(self._index)

    def __contains__(self, key: object) -> bool:
        """Whether an epoch is known."""
        return key in self._index

    def metrics(self, key: str) -> Mapping[str, float] | None:
        """The metrics recorded under `key`, or None when that epoch is not known."""
        index = self._index.get(key)
        return None if index is None else dict(zip(METRICS, self._metrics[index], strict=True))

    def row(self, key: str) -> Row:
        """The whole record under `key`. Raises KeyError when that epoch is not known."""
        rows: list[Row] = self._rows.slice(self._index[key], 1).to_pylist()
        return rows[0]


class GrowingIndex:
    """The epochs of an index, and those that are recorded while a run goes on. The index itself stays as it is."""

    def __init__(self, index: EpochIndex) -> None:
        """Nothing is added to `index` yet."""
        self._index = index
        self._added: dict[str, Row] = {}

    def __contains__(self, key: object) -> bool:
        """Whether an epoch is known."""
        return key in self._added or key in self._index

    def metrics(self, key: str) -> Mapping[str, float] | None:
        """The metrics recorded under `key`, or None when that epoch is not known."""
        if key in self._added:
            return {m: float(self._added[key][m]) for m in METRICS}
        return self._index.metrics(key)

    def row(self, key: str) -> Row:
        """The whole record under `key`. Raises KeyError when that epoch is not known."""
        return self._added[key] if key in self._added else self._index.row(key)

    def missing(self, table: pa.Table) -> list[Row]:
        """The rows of a history of which the epoch is not known."""
        positions = [n for n, key in enumerate(table["epoch_key"].to_pylist()) if key not in self]
        rows: list[Row] = table.take(positions).to_pylist() if positions else []
        return rows

    def add(self, row: Row) -> None:
        """One more epoch is known; a record that is known already stays."""
        self._added.setdefault(row["epoch_key"], row)
