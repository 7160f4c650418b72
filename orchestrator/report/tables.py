"""What people read: the comparison laid out as sheets of text. Every format for people prints these same
cells.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from orchestrator.analysis.comparison import Comparison
from orchestrator.analysis.observations import METRICS
from orchestrator.analysis.statistics import EQUAL_VALUES
from orchestrator.report.number_format import amount, between, chance, hours, number

MARKS = {"winner": "*", "not distinguishable": "~", "different": "", "not tested": "?", "no result": ""}
LEGEND = "* the winner; ~ cannot be told apart from it; ? not tested against it; ! a seed diverged"
SIDE_BY_SIDE = 30
Row = Mapping[str, Any]


class Cell(NamedTuple):
    """A text and the value to sort it by (None sorts last)."""

    text: str
    value: float | str | None


@dataclass(frozen=True)
class TextTable:
    """A table for people. `numeric` says which columns stand to the right; `note` stands below the table."""

    name: str
    title: str
    heads: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


class Field(NamedTuple):
    """A value in a grid: its text with its mark, and its place in the colour scale from 0 to 1."""

    text: str
    shade: float | None


@dataclass(frozen=True)
class Grid:
    """One optimizer x schedule matrix; a pair that is not in `cells` was not in the sweep."""

    title: str
    optimizers: tuple[str, ...]
    schedules: tuple[str, ...]
    cells: Mapping[tuple[str, str], Field]


def _sheet(
    name: str, table: pa.Table, columns: Sequence[tuple[str, bool, Callable[[Row], Cell]]], note: str = ""
) -> TextTable:
    rows = table.to_pylist()
    return TextTable(
        name,
        table.schema.metadata[b"title"].decode(),
        tuple(head for head, _, _ in columns),
        tuple(numeric for _, numeric, _ in columns),
        tuple(tuple(cell(row) for _, _, cell in columns) for row in rows),
        note,
    )


def _text(key: str) -> Callable[[Row], Cell]:
    return lambda row: Cell(str(row[key]), str(row[key]))


def _as(write: Callable[[Any], str], key: str) -> Callable[[Row], Cell]:
    return lambda row: Cell(write(row[key]), row[key])


def ended(row: Row) -> str:
    """Seeds that ended, of those planned, with those that diverged: `3`, `2 of 3`, `3, 1 diverged`."""
    seeds = str(row["n"]) if row["n"] == row.get("planned", row["n"]) else f"{row['n']} of {row['planned']}"
    return f"{seeds}, {row['diverged']} diverged" if row["diverged"] else seeds


def ranked(row: Row) -> str:
    """The rank with its mark."""
    lost = "!" if row["diverged"] else ""
    return f"{row['rank'] or '-'}{MARKS[row['verdict']]}{lost}"


def ranking(c: Comparison) -> TextTable:
    """Question 1. The monitored metric first, then final and best accuracy and loss."""
    other = "val_loss" if c.monitor != "val_loss" else "val_accuracy"
    short = {"val_accuracy": "val. accuracy", "val_loss": "val. loss", "accuracy": "accuracy", "loss": "loss"}
    interval = f"final_{c.monitor}_low", f"final_{c.monitor}_high"
    none = {EQUAL_VALUES: "none: equal"}
    return _sheet(
        "ranking",
        c.ranking,
        [
            ("#", True, lambda r: Cell(ranked(r), r["rank"])),
            ("recipe", False, _text("recipe")),
            (f"final {short[c.monitor]}", True, _as(number, f"final_{c.monitor}_mean")),
            (
                "95 % interval",
                True,
                lambda r: Cell(
                    between(r[interval[0]], r[interval[1]]) or none.get(r["no_interval"], ""), r[interval[0]]
                ),
            ),
            ("behind winner", True, lambda r: Cell(number(_behind(c, r)), _behind(c, r))),
            ("p", True, _as(chance, "p")),
            (f"final {short[other]}", True, _as(number, f"final_{other}_mean")),
            (f"best {short[c.monitor]}", True, _as(number, f"best_{c.monitor}_mean")),
            (f"its {short[other]}", True, _as(number, f"best_{other}_mean")),
            ("epochs", True, _as(amount, "epochs")),
            ("seconds", True, _as(amount, "seconds")),
            ("seeds", True, lambda r: Cell(ended(r), r["n"])),
        ],
        f"{LEGEND}. p: paired t-test against the winner over common seeds, Holm-corrected; its: in the best "
        "epoch; seconds: training time of one trial.",
    )


def _behind(c: Comparison, row: Row) -> float | None:
    change = row["difference_mean"]
    if change is None or row["verdict"] == "winner":
        return None
    return float(-change if c.direction == "max" else change)


def grids(c: Comparison) -> tuple[Grid, ...]:
    """Question 2: one matrix; where there are further settings, these too side by side, or a matrix for each."""
    rows = c.matrix.to_pylist()
    title = f"Optimizer x schedule: final {c.monitor_label}, mean over seeds"
    settings = list(dict.fromkeys(row["settings"] for row in rows))
    columns = {(row["schedule"], row["settings"]) for row in rows}
    if len(settings) > 1 and len(columns) <= SIDE_BY_SIDE:
        named = [row | {"schedule": ", ".join(filter(None, (row["schedule"], row["settings"])))} for row in rows]
        return (_grid(title, sorted(named, key=lambda row: row["schedule"])),)
    return tuple(
        _grid(f"{title} ({one})" if one else title, [row for row in rows if row["settings"] == one])
        for one in settings
    )


def _grid(title: str, rows: Sequence[Row]) -> Grid:
    cells = {}
    for row in rows:
        lost = "!" if row["diverged"] else ""
        mean = "-" if row["final_mean"] is None else number(row["final_mean"]) + MARKS[row["verdict"]] + lost
        cells[row["optimizer"], row["schedule"]] = Field(mean, row["shade"])
    return Grid(
        title,
        tuple(dict.fromkeys(row["optimizer"] for row in rows)),
        tuple(dict.fromkeys(row["schedule"] for row in rows)),
        cells,
    )


def matrix_sheets(c: Comparison) -> tuple[TextTable, ...]:
    """The matrices as sheets, the longer axis downwards, an empty cell where no recipe is."""
    return tuple(_matrix(grid) for grid in grids(c))


def _matrix(grid: Grid) -> TextTable:
    flip = len(grid.schedules) > len(grid.optimizers)
    down, across = (grid.schedules, grid.optimizers) if flip else (grid.optimizers, grid.schedules)

    def cell(row: str, column: str) -> Cell:
        field = grid.cells.get((column, row) if flip else (row, column))
        return Cell(field.text, field.shade) if field else Cell("", None)

    rows = tuple((Cell(row, row), *(cell(row, column) for column in across)) for row in down)
    heads = ("schedule" if flip else "optimizer", *across)
    return TextTable("matrix", grid.title, heads, (False, *(True for _ in across)), rows, LEGEND)


def stages(c: Comparison) -> TextTable:
    """Question 3: rank and mean at each stage, a recipe a row."""
    rows: dict[str, list[Cell]] = {}
    names: dict[str, None] = {}
    for row in c.stages.to_pylist():
        names[row["stage"]] = None
        cells = rows.setdefault(row["recipe"], [Cell(row["recipe"], row["recipe"])])
        cells.append(Cell(f"{row['rank']}.  {number(row[f'{c.monitor}_mean'])}", row["rank"]))
    return TextTable(
        "stages",
        f"Rank and {c.monitor_label} at each stage of training",
        ("recipe", *names),
        (False, *(True for _ in names)),
        tuple(tuple(cells) for cells in rows.values()),
        "A trial that ended before keeps its last value.",
    )


def overtakes(c: Comparison) -> TextTable:
    """Who passed whom between two stages."""
    return _sheet(
        "overtakes",
        c.overtakes,
        [
            ("between", False, lambda r: Cell(f"{r['from']} and {r['to']}", r["from"])),
            ("recipe", False, _text("recipe")),
            ("overtakes", False, _text("overtakes")),
            ("rank then", True, lambda r: Cell(f"{r['rank']} and {r['rank_of_overtaken']}", r["rank"])),
        ],
    )


def targets(c: Comparison) -> TextTable:
    """Question 4."""
    origin = "as given" if c.target_given else "the median of the finals, as none was given"
    return _sheet(
        "targets",
        c.targets,
        [
            ("recipe", False, _text("recipe")),
            ("seeds that reach it", True, lambda r: Cell(f"{r['reached']} of {r['n']}", r["reached"])),
            ("epochs, median", True, _as(amount, "epochs_median")),
            ("slowest", True, _as(amount, "epochs_slowest")),
            ("seconds, median", True, _as(amount, "seconds_median")),
            ("slowest ", True, _as(amount, "seconds_slowest")),
            ("profile area", True, _as(lambda v: number(v, 2), "score")),
        ],
        f"The target is {origin}. Profile area: 1 is always fastest, 0 always four times slower or never.",
    )


def sensitivity(c: Comparison) -> TextTable:
    """Question 5."""
    return _sheet(
        "sensitivity",
        c.sensitivity,
        [
            ("recipe", False, _text("recipe")),
            ("peak learning rate", True, _as(lambda v: f"{v:.3g}", "learning_rate")),
            (f"final {c.monitor_label}", True, _as(number, "final_mean")),
            ("95 % interval", True, lambda r: Cell(between(r["final_low"], r["final_high"]), r["final_low"])),
            ("seeds", True, _as(str, "n")),
        ],
    )


def published(c: Comparison) -> TextTable:
    """Question 6."""
    inside = {True: "yes", False: "no", None: ""}
    return _sheet(
        "published",
        c.published,
        [
            ("recipe", False, _text("recipe")),
            ("metric", False, _as(METRICS.__getitem__, "metric")),
            ("published", True, _as(number, "published")),
            ("measured", True, _as(number, "measured_mean")),
            (
                "95 % interval",
                True,
                lambda r: Cell(between(r["measured_low"], r["measured_high"]), r["measured_low"]),
            ),
            ("difference", True, _as(lambda v: "" if v is None else f"{v:+.3f}", "difference")),
            ("inside", False, lambda r: Cell(inside[r["inside"]], inside[r["inside"]])),
            ("seeds", True, _as(str, "n")),
        ],
    )


def cost(c: Comparison) -> TextTable:
    """Question 7, by optimizer; the whole sweep in the last row, where it stays however the page is sorted."""
    whole = {"optimizer": "all"} | c.totals.to_pylist()[0]
    rows = [*c.cost.to_pylist(), whole]
    shown = ["trials", "completed", "stopped", "diverged", "failed"]
    shown += [k for k in ("running", "waiting") if rows[-1][k]] + ["epochs_trained", "epochs_taken"]
    shown += [k for k in ("core_hours", "gpu_hours", "core_hours_saved", "gpu_hours_saved") if rows[-1][k]]
    return TextTable(
        "cost",
        "Cost by optimizer",
        ("optimizer", *(k.replace("_", " ").replace("gpu", "GPU") for k in shown)),
        (False, *(True for _ in shown)),
        tuple(
            (
                Cell(r["optimizer"], None if r is whole else r["optimizer"]),
                *(Cell(amount(r[k]), None if r is whole else r[k]) for k in shown),
            )
            for r in rows
        ),
    )


def price(c: Comparison) -> str:
    """GPU hours where GPUs were used, else core hours."""
    total = c.totals.to_pylist()[0]
    used = ("GPU", total["gpu_hours"]) if total["gpu_hours"] else ("core", total["core_hours"])
    return hours(used[1], used[0])


def bill(c: Comparison) -> str:
    """The cost in one sentence."""
    total = c.totals.to_pylist()[0]
    taken = f", {total['epochs_taken']:,} more taken without training" if total["epochs_taken"] else ""
    where = f" on {total['devices']}" if total["devices"] else ""
    return f"{total['trials']:,} trials, {total['epochs_trained']:,} epochs trained{taken}: {price(c)}{where}."


def troubles(c: Comparison) -> TextTable:
    """Each trial that did not simply complete."""
    return _sheet(
        "troubles",
        c.troubles,
        [
            ("status", False, _text("status")),
            ("recipe", False, _text("recipe")),
            ("seed", True, _as(str, "seed")),
            ("epochs", True, lambda r: Cell(f"{r['epochs']} of {r['planned']}", r["epochs"])),
            ("reason", False, _text("reason")),
        ],
    )


def sheets(c: Comparison) -> tuple[TextTable, ...]:
    """Every sheet that has something to say, in the order of the questions."""
    found: Iterable[TextTable] = (
        ranking(c),
        *matrix_sheets(c),
        stages(c),
        overtakes(c),
        targets(c),
        sensitivity(c),
        published(c),
        cost(c),
        troubles(c),
    )
    return tuple(sheet for sheet in found if sheet.rows)
