"""The comparison in a terminal: the answer first, within 80 columns, complete without colours."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from orchestrator.analysis.comparison import Comparison
from orchestrator.report import tables
from orchestrator.report.figures import colour_scale
from orchestrator.report.marks import legend
from orchestrator.report.matrix import Matrix, MatrixCell, matrices
from orchestrator.report.text_table import TextTable

MAX_ROWS = 20
"""Rows of a table that are printed unless all tables are."""
MAX_SIDE_ROWS = 6
"""Rows that are printed of a table beside the ranking."""
MAX_OF_A_LENGTH = 3
"""Recipes of each training length that are printed unless all tables are."""
LABEL_WIDTH, NUMBER_WIDTH = 32, 12
"""The greatest width of the names of a matrix's rows, and of a column of numbers."""
_HEADS = {
    "final val. accuracy": "final acc.",
    "final val. loss": "final loss",
    "best val. accuracy": "best acc.",
    "best val. loss": "best loss",
    "its val. loss": "its loss",
    "its val. accuracy": "its acc.",
    "seconds": "time, s",
}
# Every other format has these columns; 80 columns of a terminal hold no more than the others.
_OMITTED = (
    "behind winner",
    "at most",
    "p",
    "best val. accuracy",
    "best val. loss",
    "its val. loss",
    "its val. accuracy",
    "its interval",
)


def render(comparison: Comparison, console: Console, full: bool = False) -> None:
    """Print the answer, the ranking, the training lengths, the matrices, the troubles and the cost.

    With `full` every table is printed whole.
    """
    console.print(Text(comparison.sweep, style="bold"))
    for position, sentence in enumerate(comparison.answer):
        console.print(Text(sentence, style="" if position else "bold green"))
    console.print()
    _print_table(console, _narrow(tables.ranking(comparison), legend(comparison)), full)
    by_length = tables.horizons(comparison, None if full else MAX_OF_A_LENGTH)
    _print_table(console, _without(by_length, _OMITTED), full, len(by_length.rows))
    for matrix in matrices(comparison):
        _print_matrix(console, matrix, legend(comparison))
    for make in tables.AFTER_MATRIX if full else (tables.held_out, tables.certainty, tables.troubles):
        table = make(comparison)
        _print_table(
            console, _without(table, _OMITTED), full, MAX_ROWS if table.name == "troubles" else MAX_SIDE_ROWS
        )
    console.print(Text(f"Cost: {tables.cost_sentence(comparison)}"))
    for note in comparison.notes:
        console.print(Text(f"- {note}", style="dim"))


def _narrow(ranking: TextTable, note: str) -> TextTable:
    """The ranking with fewer columns, shorter heads and shorter texts."""
    kept = _without(ranking, _OMITTED)
    return replace(
        kept,
        title=f"{ranking.title} (accuracy and loss on validation data)",
        heads=tuple(_HEADS.get(head, head) for head in kept.heads),
        rows=tuple(
            tuple(cell._replace(text=cell.text.replace("diverged", "div.")) for cell in row) for row in kept.rows
        ),
        note=note,
    )


def _without(table: TextTable, omitted: Collection[str]) -> TextTable:
    """The table without the `omitted` columns and those that are empty, its intervals shortened."""
    columns = [
        position
        for position, head in enumerate(table.heads)
        if head not in omitted and any(row[position].text for row in table.rows)
    ]
    return replace(
        table,
        heads=tuple(table.heads[i] for i in columns),
        numeric=tuple(table.numeric[i] for i in columns),
        rows=tuple(
            tuple(row[i]._replace(text=_short(table.heads[i], row[i].text)) for i in columns) for row in table.rows
        ),
    )


def _short(head: str, text: str) -> str:
    if head == "95 % interval":
        return text.replace(" to ", "-").replace("0.", ".").replace("1.000", "1.00")
    return text


def _print_table(console: Console, text_table: TextTable, full: bool, most: int = MAX_ROWS) -> None:
    if not text_table.rows:
        return
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for position, (head, numeric) in enumerate(zip(text_table.heads, text_table.numeric, strict=True)):
        longest = max([len(row[position].text) for row in text_table.rows] + [len(word) for word in head.split()])
        width = min(longest, NUMBER_WIDTH) if numeric else None
        table.add_column(Text(head), justify="right" if numeric else "left", overflow="fold", width=width)
    rows = text_table.rows if full else text_table.rows[:most]
    for row in rows:
        is_winner = "*" in row[0].text and text_table.name == "ranking"
        table.add_row(*(Text(cell.text) for cell in row), style="bold green" if is_winner else "")
    console.print(Text(text_table.title, style="bold underline"))
    console.print(table)
    if len(rows) < len(text_table.rows):
        omitted = len(text_table.rows) - len(rows)
        console.print(Text(f"... and {omitted} more rows, in the full report.", style="yellow"))
    if text_table.note:
        console.print(Text(text_table.note, style="dim"))
    console.print()


def _blocks(heads: Sequence[str], width: int) -> Iterator[Sequence[str]]:
    """The heads in blocks whose columns fit into `width`; a longer head is folded into lines."""
    start, block_width = 0, 0
    for position, head in enumerate(heads):
        column_width = _column_width(head) + 1
        if position > start and block_width + column_width > width:
            yield heads[start:position]
            start, block_width = position, 0
        block_width += column_width
    yield heads[start:]


def _column_width(head: str) -> int:
    return max(min(len(head), NUMBER_WIDTH), 7)


def _print_matrix(console: Console, matrix: Matrix, note: str) -> None:
    console.print(Text(matrix.title, style="bold underline"))
    label_width = min(max(len(name) for name in (*matrix.rows, "optimizer")), LABEL_WIDTH)
    for block in _blocks(matrix.columns, console.width - label_width - 1):
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
        table.add_column(matrix.row_kind, width=label_width, overflow="fold")
        for head in block:
            table.add_column(Text(head), width=_column_width(head), justify="right", overflow="fold")
        for row in matrix.rows:
            table.add_row(Text(row), *(_cell(matrix.cell(row, head)) for head in block))
        console.print(table)
        console.print()
    console.print(Text(f"{note}; . not in the sweep; - no result", style="dim"))
    console.print()


def _cell(cell: MatrixCell | None) -> Text:
    if cell is None:
        return Text(".", style="dim")
    if cell.shade is None:
        return Text(cell.text)
    ink = colour_scale.hex_colour(colour_scale.ink(cell.shade))
    return Text(cell.text, style=Style(color=ink, bgcolor=colour_scale.hex_colour(colour_scale.scale(cell.shade))))
