"""A plan's schedules, drawn before anything runs: as sparklines on a console, and on a page with every trial."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.console import plan_and_status
from orchestrator.console.live_progress import sparkline
from orchestrator.planning.plan import Plan
from orchestrator.report import plan_page
from orchestrator.report.figures.schedules import Curve, Line, spans_decades
from orchestrator.report.tables import Cell, TextTable
from orchestrator.storage.store import Store

_WIDEST, _NARROWEST = 40, 16
_BESIDES = 60
"""Columns of a terminal that a row of `render` needs beside its sparkline."""
_Tables = Mapping[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None, bool]]


def of(plan: Plan) -> list[Curve]:
    """Every schedule of the plan, in its order; one for each point of the grid where it differs between them.

    A line is open where a range test has yet to find its highest rate.
    """
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    for trials in plan_and_status.by_recipe(plan).values():
        recipe, chain = trials[0].recipe, plan.cursors[trials[0].id].chain
        point = " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in recipe.axes.items())
        of_point = tables.setdefault(recipe.schedule_label, {}).setdefault(point, {})
        of_point[recipe.optimizer_label] = chain.table, chain.momentum, trials[0].id in plan.provisional
    return [
        Curve(f"{schedule} {', '.join(points)}" if len(different) > 1 else schedule, lines)
        for schedule, by_point in tables.items()
        for different in [list(_different(by_point))]
        for points, lines in different
    ]


def _different(by_point: Mapping[str, _Tables]) -> Iterator[tuple[list[str], tuple[Line, ...]]]:
    """The points of the grid with what they make of a schedule, those together that make the same of it."""
    together: dict[Any, tuple[list[str], _Tables]] = {}
    for point, tables in by_point.items():
        key = tuple((name, *_identity(*given)) for name, given in tables.items())
        together.setdefault(key, ([], tables))[0].append(point)
    for points, tables in together.values():
        same: dict[Any, list[str]] = {}
        for name, given in tables.items():
            same.setdefault(_identity(*given), []).append(name)
        yield points, tuple(Line(tuple(names), *tables[names[0]]) for names in same.values())


def _identity(
    rates: npt.NDArray[np.float32], momentum: npt.NDArray[np.float32] | None, is_open: bool
) -> tuple[Any, ...]:
    return rates.shape, rates.tobytes(), None if momentum is None else momentum.tobytes(), is_open


def render(plan: Plan, console: Console) -> None:
    """Print a sparkline of every schedule's learning rates, and of its momentum where that is cycled."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("schedule", overflow="fold")
    for name in ("first", "at peak", "last"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("every step", no_wrap=True)
    width = max(min(_WIDEST, console.width - _BESIDES), _NARROWEST)
    for curve in of(plan):
        several = len(curve.lines) > 1
        if several:
            table.add_row(Text(curve.name))
        for line in curve.lines:
            name = f"  {', '.join(line.optimizers)}" if several else curve.name
            rates, decades, peak = line.rates, spans_decades(line.rates), line.rates.argmax()
            shown = np.log10(np.maximum(rates, rates[rates > 0].min())) if decades else rates
            drawn = _sparkline(shown, width, low=None if decades else 0.0)
            ends = ("auto",) * 3 if line.open else _ends(rates, peak)
            table.add_row(Text(name), *ends, drawn + (" log" if decades else ""))
            if line.momentum is not None:
                drawn = _sparkline(line.momentum, width, low=None)
                table.add_row("  momentum", *_ends(line.momentum, peak), drawn)
    console.print(table)


def _sparkline(table: npt.NDArray[Any], width: int, low: float | None) -> str:
    """One block for each of `width` stretches of the steps, as high as its value furthest from the mean."""
    flat = table.ravel().astype(np.float64)
    mean = flat.mean()
    ends = np.linspace(0, len(flat), min(width, len(flat)) + 1).astype(int)[1:-1]
    stretches = np.split(flat, ends)
    return sparkline([float(part[np.abs(part - mean).argmax()]) for part in stretches], width=width, low=low)


def _ends(table: npt.NDArray[np.float32], peak: np.intp) -> tuple[str, str, str]:
    return f"{table[0, 0]:.3g}", f"{table.flat[peak]:.3g}", f"{table[-1, -1]:.3g}"


def page(plan: Plan, store: Store) -> str:
    """`sweep plan --format html`: counts, every schedule's curve and every trial, as one page."""
    epochs = plan.epochs
    tiles = [
        ("Trials", f"{len(plan.trials):,}", f"{len(plan_and_status.by_recipe(plan)):,} recipes"),
        ("Epochs to train", f"{epochs.new:,}", f"of {epochs.total:,}"),
        ("Known already", f"{epochs.known:,}", "in this store, taken as they are"),
        ("Shared", f"{epochs.shared:,}", "common beginnings, trained once"),
    ]
    return plan_page.render(plan.sweep.name, plan_and_status.facts(plan, store), tiles, of(plan), _trials(plan))


def _trials(plan: Plan) -> TextTable:
    rows = []
    cycles = any(cursor.chain.momentum is not None for cursor in plan.cursors.values())
    for trial in plan.trials:
        cursor, recipe = plan.cursors[trial.id], trial.recipe
        chain, known = cursor.chain, len(cursor.keys)
        new = 0 if cursor.ending else chain.epochs - known
        rates = [float(rate) for rate in (chain.table[0, 0], chain.table.max(), chain.table[-1, -1])]
        row = [
            Cell(trial.id, trial.id),
            Cell(recipe.optimizer_label, recipe.optimizer_label),
            Cell(recipe.schedule_label, recipe.schedule_label),
            *(Cell(str(number), number) for number in (trial.seed, chain.epochs, known, new)),
            *(Cell("auto", None) if trial.id in plan.provisional else Cell(f"{rate:.3g}", rate) for rate in rates),
        ]
        if cycles:
            row.append(Cell("", None) if chain.momentum is None else _range(chain.momentum))
        rows.append(tuple(row))
    heads = ["trial", "optimizer", "schedule", "seed", "epochs", "known", "missing"]
    heads += ["first rate", "highest", "last", *(["momentum"] if cycles else [])]
    return TextTable(
        "trials",
        "Every trial",
        tuple(heads),
        (False,) * 3 + (True,) * (len(heads) - 3),
        tuple(rows),
        "missing: epochs not on record, those that trials share counted for each of them; the rates are those of "
        "the first and the last step, and the highest of all.",
    )


def _range(momentum: npt.NDArray[np.float32]) -> Cell:
    return Cell(f"{momentum.min():.3g} to {momentum.max():.3g}", float(momentum.min()))
