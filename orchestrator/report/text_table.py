"""Tables of texts, and the columns that they are built from. Every format for people prints these cells."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

Row = Mapping[str, Any]


class Cell(NamedTuple):
    """A text, and the value that rows are sorted by; None sorts last."""

    text: str
    value: float | str | None


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """A table of texts. `numeric` marks the columns that are aligned right; `note` follows the table."""

    name: str
    title: str
    heads: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


class Column(NamedTuple):
    """A column of a text table: its head, its alignment, and its cell for a row of an Arrow table."""

    head: str
    numeric: bool
    cell: Callable[[Row], Cell]


def labels(head: str, key: str) -> Column:
    """A column of names, aligned left."""
    return Column(head, False, lambda row: Cell(str(row[key]), str(row[key])))


def numbers(head: str, key: str, write: Callable[[Any], str]) -> Column:
    """A column of numbers as texts of `write`, aligned right and sorted by the numbers."""
    return Column(head, True, lambda row: Cell(write(row[key]), row[key]))


def text_table(name: str, table: pa.Table, columns: Sequence[Column], note: str = "") -> TextTable:
    """The columns over every row of `table`, under the title in its metadata."""
    rows = table.to_pylist()
    return TextTable(
        name=name,
        title=table.schema.metadata[b"title"].decode(),
        heads=tuple(column.head for column in columns),
        numeric=tuple(column.numeric for column in columns),
        rows=tuple(tuple(column.cell(row) for column in columns) for row in rows),
        note=note,
    )
