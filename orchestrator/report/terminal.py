"""The comparison on a terminal: the answer first, readable without colour and at 80 columns."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from orchestrator.analysis.comparison import Comparison
from orchestrator.report import tables
from orchestrator.report.figures import colour_scale

SHOWN = 20
LABEL, WIDEST = 32, 12
_HEADS = {
    "final val. accuracy": "final acc.",
    "final val. loss": "final loss",
    "best val. accuracy": "best acc.",
    "best val. loss": "best loss",
    "its val. loss": "its loss",
    "its val. accuracy": "its acc.",
    "seconds": "time, s",
}
# These are in every other format; the terminal's 80 columns are better spent on the rest.
_LEFT_OUT = ("behind winner", "p")


def render(comparison: Comparison, console: Console, full: bool = False) -> None:
    """Print the answer, the ranking, the matrix, the troubles and the cost; with `full` every table, every
    row.
    """
    console.print(Text(comparison.sweep, style="bold"))
    for number, sentence in enumerate(comparison.answer):
        console.print(Text(sentence, style="" if number else "bold green"))
    console.print()
    _sheet(console, _narrow(tables.ranking(comparison)), full)
    for grid in tables.grids(comparison):
        _matrix(console, grid)
    if full:
        for make in (tables.stages, tables.overtakes, tables.targets, tables.sensitivity, tables.published):
            _sheet(console, make(comparison), full)
        _sheet(console, tables.cost(comparison), full)
    _sheet(console, tables.troubles(comparison), full)
    console.print(Text(f"Cost: {tables.bill(comparison)}"))
    for note in comparison.notes:
        console.print(Text(f"- {note}", style="dim"))


def _narrow(sheet: tables.TextTable) -> tables.TextTable:
    kept = [i for i, head in enumerate(sheet.heads) if head not in _LEFT_OUT]
    rows = tuple(
        tuple(row[i]._replace(text=_short(sheet.heads[i], row[i].text)) for i in kept) for row in sheet.rows
    )
    return tables.TextTable(
        sheet.name,
        f"{sheet.title} (accuracy and loss on validation data)",
        tuple(_HEADS.get(sheet.heads[i], sheet.heads[i]) for i in kept),
        tuple(sheet.numeric[i] for i in kept),
        rows,
        tables.LEGEND,
    )


def _short(head: str, text: str) -> str:
    if head == "95 % interval":
        return text.replace(" to ", "-").replace("0.", ".").replace("1.000", "1.00")
    return text.replace("diverged", "div.")


def _sheet(console: Console, sheet: tables.TextTable, full: bool) -> None:
    if not sheet.rows:
        return
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for place, (head, numeric) in enumerate(zip(sheet.heads, sheet.numeric, strict=True)):
        widest = max([len(row[place].text) for row in sheet.rows] + [len(word) for word in head.split()])
        width = min(widest, WIDEST) if numeric else None
        table.add_column(Text(head), justify="right" if numeric else "left", overflow="fold", width=width)
    rows = sheet.rows if full else sheet.rows[:SHOWN]
    for row in rows:
        best = "*" in row[0].text and sheet.name == "ranking"
        table.add_row(*(Text(cell.text) for cell in row), style="bold green" if best else "")
    console.print(Text(sheet.title, style="bold underline"))
    console.print(table)
    if len(rows) < len(sheet.rows):
        console.print(
            Text(f"... and {len(sheet.rows) - len(rows)} more rows, in the full report.", style="yellow")
        )
    if sheet.note:
        console.print(Text(sheet.note, style="dim"))
    console.print()


def _blocks(heads: Sequence[str], width: int) -> Iterator[Sequence[str]]:
    """Cut the columns into blocks that fit side by side; a longer heading is folded, never cut."""
    start, used = 0, 0
    for place, head in enumerate(heads):
        wide = max(min(len(head), WIDEST), 7) + 1
        if place > start and used + wide > width:
            yield heads[start:place]
            start, used = place, 0
        used += wide
    yield heads[start:]


def _matrix(console: Console, grid: tables.Grid) -> None:
    flip = len(grid.schedules) > len(grid.optimizers)
    down, across = (grid.schedules, grid.optimizers) if flip else (grid.optimizers, grid.schedules)
    console.print(Text(grid.title, style="bold underline"))
    label = min(max(len(name) for name in (*down, "optimizer")), LABEL)
    for block in _blocks(across, console.width - label - 1):
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
        table.add_column("schedule" if flip else "optimizer", width=label, overflow="fold")
        for head in block:
            table.add_column(Text(head), width=max(min(len(head), WIDEST), 7), justify="right", overflow="fold")
        for row in down:
            fields = [grid.cells.get((head, row) if flip else (row, head)) for head in block]
            table.add_row(Text(row), *(_field(field) for field in fields))
        console.print(table)
        console.print()
    console.print(Text(f"{tables.LEGEND}; . not in the sweep; - no result", style="dim"))
    console.print()


def _field(field: tables.Field | None) -> Text:
    if field is None:
        return Text(".", style="dim")
    if field.shade is None:
        return Text(field.text)
    ground, ink = (
        colour_scale.written(colour_scale.scale(field.shade)),
        colour_scale.written(colour_scale.ink(field.shade)),
    )
    return Text(field.text, style=Style(color=ink, bgcolor=ground))
