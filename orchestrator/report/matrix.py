"""Question 2 for people: matrices of optimizers and schedules, with each recipe's final mean and verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.analysis.comparison import Comparison
from orchestrator.report.marks import MARKS, legend
from orchestrator.report.number_format import number
from orchestrator.report.text_table import Cell, Row, TextTable

MAX_COLUMNS = 30
"""Matrices of several settings are one matrix, if it has no more columns than this."""


class MatrixCell(NamedTuple):
    """A mean with its mark as text, and its place in the colour scale from 0 to 1."""

    text: str
    shade: float | None


@dataclass(frozen=True)
class Matrix:
    """A matrix of optimizers and schedules; a pair that is not in `cells` is not in the sweep."""

    title: str
    optimizers: tuple[str, ...]
    schedules: tuple[str, ...]
    cells: Mapping[tuple[str, str], MatrixCell]

    @property
    def row_kind(self) -> str:
        """What the rows are: "schedule" if there are more schedules than optimizers, else "optimizer"."""
        return "schedule" if len(self.schedules) > len(self.optimizers) else "optimizer"

    @property
    def rows(self) -> tuple[str, ...]:
        """The names of the rows, on the longer axis."""
        return self.schedules if self.row_kind == "schedule" else self.optimizers

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, on the shorter axis."""
        return self.optimizers if self.row_kind == "schedule" else self.schedules

    def cell(self, row: str, column: str) -> MatrixCell | None:
        """The cell of a row and a column; None for a pair that is not in the sweep."""
        return self.cells.get((column, row) if self.row_kind == "schedule" else (row, column))


def matrices(comparison: Comparison) -> tuple[Matrix, ...]:
    """One matrix; for further settings, one with a column for each of them, or else one matrix for each."""
    rows = comparison.matrix.to_pylist()
    title = f"Optimizer x schedule: final {comparison.monitor_label}, mean over seeds"
    settings = list(dict.fromkeys(row["settings"] for row in rows))
    columns = {(row["schedule"], row["settings"]) for row in rows}
    if len(settings) > 1 and len(columns) <= MAX_COLUMNS:
        renamed = [row | {"schedule": ", ".join(filter(None, (row["schedule"], row["settings"])))} for row in rows]
        return (_matrix(title, sorted(renamed, key=lambda row: row["schedule"])),)
    return tuple(
        _matrix(f"{title} ({value})" if value else title, [row for row in rows if row["settings"] == value])
        for value in settings
    )


def _matrix(title: str, rows: Sequence[Row]) -> Matrix:
    cells = {}
    for row in rows:
        diverged = "!" if row["diverged"] else ""
        mean = "-" if row["final_mean"] is None else number(row["final_mean"]) + MARKS[row["verdict"]] + diverged
        cells[row["optimizer"], row["schedule"]] = MatrixCell(mean, row["shade"])
    optimizers = tuple(dict.fromkeys(row["optimizer"] for row in rows))
    schedules = tuple(dict.fromkeys(row["schedule"] for row in rows))
    return Matrix(title, optimizers, schedules, cells)


def matrix_tables(comparison: Comparison) -> tuple[TextTable, ...]:
    """The matrices as tables of texts, with an empty cell for a pair that is not in the sweep."""
    return tuple(_text_table(matrix, legend(comparison)) for matrix in matrices(comparison))


def _text_table(matrix: Matrix, note: str) -> TextTable:
    def cell(row: str, column: str) -> Cell:
        return Cell(*(matrix.cell(row, column) or ("", None)))

    return TextTable(
        name="matrix",
        title=matrix.title,
        heads=(matrix.row_kind, *matrix.columns),
        numeric=(False, *(True for _ in matrix.columns)),
        rows=tuple((Cell(row, row), *(cell(row, column) for column in matrix.columns)) for row in matrix.rows),
        note=note,
    )
