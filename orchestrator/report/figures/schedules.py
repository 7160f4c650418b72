"""Figures of a plan's schedules: the learning rate of every step, and the momentum if a schedule changes it."""

import textwrap
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from orchestrator.report.figures import style as theme
from orchestrator.report.figures.style import DASHES, SERIES
from orchestrator.report.number_format import rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Table = npt.NDArray[np.float32]

ACROSS = 4
MAX_PANELS = 60
_DECADES = 20.0
_POINTS = 300
_TITLE, _TITLE_LINES = 28, 2


@dataclass(frozen=True, eq=False)
class RateLine:
    """A table of learning rates, float32 [epochs, steps], its momentum, and the optimizers that train with it.

    A line is provisional before the range test of its optimizer: its rates are shares of a highest rate that is
    not known.
    """

    optimizers: tuple[str, ...]
    rates: Table
    momentum: Table | None = None
    provisional: bool = False

    @property
    def content(self) -> Hashable:
        """The bytes of the tables and all else but the optimizers: lines with equal content are drawn as one."""
        momentum = None if self.momentum is None else self.momentum.tobytes()
        return self.rates.shape, self.rates.tobytes(), momentum, self.provisional


@dataclass(frozen=True, eq=False)
class SchedulePlot:
    """A schedule by name, with a line for each of its different tables."""

    name: str
    lines: tuple[RateLine, ...]


def spans_decades(values: npt.NDArray[Any]) -> bool:
    """Whether at least a quarter of `values` are at most a twentieth of the highest.

    >>> spans_decades(np.geomspace(1e-6, 1, 50)), spans_decades(np.linspace(0, 1, 50))
    (True, False)
    """
    low = float(np.quantile(values, 0.25))
    return low > 0 and float(values.max()) >= _DECADES * low


def schedules(plots: Sequence[SchedulePlot]) -> "Figure | None":
    """One panel per schedule, and a second panel for a momentum that changes; at most MAX_PANELS panels."""
    panels = [panel for plot in plots for panel in _panels(plot)][:MAX_PANELS]
    if not panels:
        return None
    lengths = {len(line.rates) for plot in plots for line in plot.lines}
    figure, grid = theme.panels(len(panels), min(ACROSS, len(panels)), 2.0, sharex=len(lengths) == 1)
    for axes, panel in zip(grid, panels, strict=True):
        _draw(axes, panel)
    # Panels with equal legends share one legend.
    with_legend = [position for position, panel in enumerate(panels) if len(panel.lines) > 1]
    if len({tuple(name for name, _ in panels[position].lines) for position in with_legend}) == 1:
        handles = grid[with_legend[0]].get_lines()
        figure.legend(handles=handles, loc="outside upper left", ncols=3, handlelength=3.5, fontsize=9)
    else:
        for position in with_legend:
            grid[position].legend(fontsize=7, handlelength=2.5)
    for axes in grid[-min(ACROSS, len(panels)) :] if len(lengths) == 1 else grid:
        axes.set_xlabel("epochs trained")
    return figure


@dataclass(frozen=True, eq=False)
class _Panel:
    title: str
    unit: str
    lines: tuple[tuple[str, Table], ...]
    momentum: bool = False


def _panels(plot: SchedulePlot) -> Iterator[_Panel]:
    if len(plot.lines) == 1 and not plot.lines[0].provisional:
        yield _Panel(plot.name, "learning rate", ((_names(plot.lines), plot.lines[0].rates),))
    else:
        shapes = tuple((_names(lines), shares) for lines, shares in _proportional(plot.lines))
        yield _Panel(f"{plot.name}\n{_highest(plot.lines)}", "rate / highest rate", shapes)
    momenta: dict[Hashable, tuple[list[RateLine], Table]] = {}
    for line in plot.lines:
        if line.momentum is not None:
            key = (line.momentum.shape, line.momentum.tobytes())
            momenta.setdefault(key, ([], line.momentum))[0].append(line)
    if momenta:
        lines_and_tables = tuple((_names(lines), table) for lines, table in momenta.values())
        yield _Panel(f"{plot.name}: momentum", "momentum", lines_and_tables, momentum=True)


def _proportional(lines: Sequence[RateLine]) -> list[tuple[list[RateLine], Table]]:
    """Groups of lines that differ by a constant factor, each group with its rates as shares of the highest."""
    groups: list[tuple[list[RateLine], Table]] = []
    for line in lines:
        shares = line.rates / max(float(line.rates.max()), 1e-30)
        for members, group_shares in groups:
            if shares.shape == group_shares.shape and np.allclose(shares, group_shares, rtol=1e-4, atol=1e-5):
                members.append(line)
                break
        else:
            groups.append(([line], shares))
    return groups


def _names(lines: Sequence[RateLine]) -> str:
    return ", ".join(dict.fromkeys(name for line in lines for name in line.optimizers))


def _highest(lines: Sequence[RateLine]) -> str:
    """The highest rate of each line, or the range of these rates if a title has no space for all."""
    highest = [float(line.rates.max()) for line in lines]
    by_rate: dict[str, list[RateLine]] = {}
    for line, value in zip(lines, highest, strict=True):
        by_rate.setdefault("auto" if line.provisional else rate(value), []).append(line)
    text = "highest: " + ", ".join(f"{_names(group)} {value}" for value, group in by_rate.items())
    if len(textwrap.wrap(text, _TITLE)) <= _TITLE_LINES:
        return text
    rates = [value for line, value in zip(lines, highest, strict=True) if not line.provisional]
    return f"highest: {rate(min(rates))} to {rate(max(rates))}" if rates else "highest: auto"


def _draw(axes: "Axes", panel: _Panel) -> None:
    from matplotlib.ticker import MaxNLocator

    logarithmic = not panel.momentum and any(spans_decades(table) for _, table in panel.lines)
    for position, (name, table) in enumerate(panel.lines):
        x, y = _thinned(table)
        axes.plot(
            x,
            np.where(y > 0, y, np.nan) if logarithmic else y,
            color=SERIES[(position + panel.momentum) % len(SERIES)],
            ls=DASHES[position % len(DASHES)],
            marker="o" if len(y) < 3 else None,
            label="\n".join(textwrap.wrap(name, 24)),
        )
    if logarithmic:
        axes.set_yscale("log")
        theme.plain_log(axes.yaxis)
    elif not panel.momentum:
        axes.set_ylim(bottom=0.0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, min_n_ticks=1))
    title_lines = [line for part in panel.title.split("\n") for line in textwrap.wrap(part, _TITLE)]
    axes.set_title("\n".join(title_lines), loc="left", fontsize=9)
    axes.set_ylabel(panel.unit, fontsize=9)


def _thinned(table: Table) -> tuple[npt.NDArray[np.float64], Table]:
    """Times in epochs and values of at most about 2 x `_POINTS` steps, the extremes among them."""
    steps = table.shape[1]
    values = table.ravel()
    count = len(values)
    positions: npt.NDArray[Any] = np.arange(count)
    if count > 2 * _POINTS:
        edges = np.linspace(0, count, _POINTS + 1).astype(int)
        extremes = [(a + values[a:b].argmin(), a + values[a:b].argmax()) for a, b in pairwise(edges)]
        positions = np.unique([0, count - 1, *(position for pair in extremes for position in pair)])
    return positions / steps, values[positions]


def caption(plots: Sequence[SchedulePlot]) -> str:
    """The caption of the figure of `schedules`."""
    total = sum(1 for plot in plots for _ in _panels(plot))
    note = f"The first {MAX_PANELS} of {total} panels. " if total > MAX_PANELS else ""
    has_shares = any(len(plot.lines) > 1 for plot in plots)
    has_momentum = any(line.momentum is not None for plot in plots for line in plot.lines)
    return (
        f"{note}The learning rate of every step as the schedule has it, before any rule reacts; one panel a "
        "schedule. The axis is logarithmic where a schedule spends a quarter of its time far below its highest "
        "rate; zero is not drawn there."
        + (
            " Where a schedule means other rates for other optimizers, it is drawn as a share of the highest of "
            "each, which stands above the panel."
            if has_shares
            else ""
        )
        + (" Orange: the momentum." if has_momentum else "")
    )
