"""The schedules of a plan: as sparklines in a terminal, and as a page with every trial."""

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.console import plan_and_status
from orchestrator.console.text import sparkline
from orchestrator.planning.plan import Plan
from orchestrator.report import plan_page
from orchestrator.report.figures.schedules import RateLine, SchedulePlot, spans_decades
from orchestrator.report.number_format import rate
from orchestrator.report.text_table import Cell, TextTable
from orchestrator.storage.store import Store

_WIDEST, _NARROWEST = 40, 16
_OTHER_COLUMNS = 60
"""The width of all columns beside the sparkline in a row of `render`."""


def of(plan: Plan) -> list[SchedulePlot]:
    """Every schedule of the plan, in its order; a plot for each group of grid points with equal tables."""
    lines: dict[str, dict[str, dict[str, RateLine]]] = {}
    for trials in plan_and_status.by_recipe(plan).values():
        recipe, chain = trials[0].recipe, plan.cursors[trials[0].id].chain
        point = " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in recipe.axes.items())
        by_optimizer = lines.setdefault(recipe.schedule_label, {}).setdefault(point, {})
        by_optimizer[recipe.optimizer_label] = RateLine(
            (recipe.optimizer_label,), chain.table, chain.momentum, provisional=trials[0].id in plan.provisional
        )
    plots = []
    for schedule, by_point in lines.items():
        variants = _variants({point: tuple(by_optimizer.values()) for point, by_optimizer in by_point.items()})
        for points, variant in variants:
            name = f"{schedule} {', '.join(points)}" if len(variants) > 1 else schedule
            plots.append(SchedulePlot(name, variant))
    return plots


def _variants(by_point: Mapping[str, tuple[RateLine, ...]]) -> list[tuple[list[str], tuple[RateLine, ...]]]:
    """The lines of a schedule without repetitions, each variant with the grid points that it belongs to."""
    variants: dict[Hashable, tuple[list[str], tuple[RateLine, ...]]] = {}
    for point, lines in by_point.items():
        key = tuple((line.optimizers, line.content) for line in lines)
        variants.setdefault(key, ([], lines))[0].append(point)
    return [(points, _merged(lines)) for points, lines in variants.values()]


def _merged(lines: tuple[RateLine, ...]) -> tuple[RateLine, ...]:
    """The lines, lines of equal content as one line with all their optimizers."""
    groups: dict[Hashable, list[RateLine]] = {}
    for line in lines:
        groups.setdefault(line.content, []).append(line)
    return tuple(
        replace(group[0], optimizers=tuple(name for line in group for name in line.optimizers))
        for group in groups.values()
    )


def render(plan: Plan, console: Console) -> None:
    """Print a sparkline of every schedule's learning rates, and of its momentum if the schedule changes it."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("schedule", overflow="fold")
    for name in ("first", "at peak", "last"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("every step", no_wrap=True)
    width = max(min(_WIDEST, console.width - _OTHER_COLUMNS), _NARROWEST)
    for plot in of(plan):
        has_head = len(plot.lines) > 1
        if has_head:
            table.add_row(Text(plot.name))
        for line in plot.lines:
            name = f"  {', '.join(line.optimizers)}" if has_head else plot.name
            _add_line(table, name, line, width)
    console.print(table)


def _add_line(table: Table, name: str, line: RateLine, width: int) -> None:
    """A row for the learning rates, and a row for the momentum."""
    rates, peak = line.rates, line.rates.argmax()
    ends = ("auto",) * 3 if line.provisional else _ends(rates, peak)
    if spans_decades(rates):
        positive = np.maximum(rates, rates[rates > 0].min())
        table.add_row(Text(name), *ends, _sparkline(np.log10(positive), width, low=None) + " log")
    else:
        table.add_row(Text(name), *ends, _sparkline(rates, width, low=0.0))
    if line.momentum is not None:
        table.add_row("  momentum", *_ends(line.momentum, peak), _sparkline(line.momentum, width, low=None))


def _sparkline(table: npt.NDArray[Any], width: int, low: float | None) -> str:
    """A block for each of `width` ranges of steps; its height is the value furthest from the mean of all."""
    values = table.ravel().astype(np.float64)
    mean = values.mean()
    bounds = np.linspace(0, len(values), min(width, len(values)) + 1).astype(int)[1:-1]
    ranges = np.split(values, bounds)
    return sparkline([float(part[np.abs(part - mean).argmax()]) for part in ranges], width=width, low=low)


def _ends(table: npt.NDArray[np.float32], peak: np.intp) -> tuple[str, str, str]:
    """The first value, that at `peak`, and the last one."""
    return rate(table[0, 0]), rate(float(table.flat[peak])), rate(table[-1, -1])


def page(plan: Plan, store: Store) -> str:
    """`sweep plan --format html`: counts, a figure of every schedule and every trial, as one page."""
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
        rates = [float(value) for value in (chain.table[0, 0], chain.table.max(), chain.table[-1, -1])]
        provisional = trial.id in plan.provisional
        row = [
            Cell(trial.id, trial.id),
            Cell(recipe.optimizer_label, recipe.optimizer_label),
            Cell(recipe.schedule_label, recipe.schedule_label),
            *(Cell(str(number), number) for number in (trial.seed, chain.epochs, known, new)),
            *(Cell("auto", None) if provisional else Cell(rate(value), value) for value in rates),
        ]
        if cycles:
            row.append(Cell("", None) if chain.momentum is None else _range(chain.momentum))
        rows.append(tuple(row))
    heads = ["trial", "optimizer", "schedule", "seed", "epochs", "known", "missing"]
    heads += ["first rate", "highest", "last", *(["momentum"] if cycles else [])]
    return TextTable(
        name="trials",
        title="Every trial",
        heads=tuple(heads),
        numeric=(False,) * 3 + (True,) * (len(heads) - 3),
        rows=tuple(rows),
        note="missing: epochs not on record, those that trials share counted for each of them; the rates are "
        "those of the first and the last step, and the highest of all.",
    )


def _range(momentum: npt.NDArray[np.float32]) -> Cell:
    return Cell(f"{rate(momentum.min())} to {rate(momentum.max())}", float(momentum.min()))
