"""A plan's schedules as pictures: the learning rate of every step, and the momentum where it is cycled."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from orchestrator.report.figures import style as theme
from orchestrator.report.figures.style import DASHES, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Table = npt.NDArray[np.float32]

ACROSS = 4
DRAWN = 60
_DECADES = 20.0
_POINTS = 300
_TITLE, _TITLE_LINES = 28, 2


@dataclass(frozen=True, eq=False)
class Line:
    """One table of learning rates, float32 [epochs, steps], and the optimizers that are trained with it.

    `open`: the highest rate is still to be found, and only the proportions of the table count.
    """

    optimizers: tuple[str, ...]
    rates: Table
    momentum: Table | None = None
    open: bool = False


@dataclass(frozen=True, eq=False)
class Curve:
    """A schedule: a line for each different table of rates that it means."""

    name: str
    lines: tuple[Line, ...]


def spans_decades(values: npt.NDArray[Any]) -> bool:
    """Whether at least a quarter of `values` lie more than a decade and a third below the highest.

    >>> spans_decades(np.geomspace(1e-6, 1, 50)), spans_decades(np.linspace(0, 1, 50))
    (True, False)
    """
    low = float(np.quantile(values, 0.25))
    return low > 0 and float(values.max()) >= _DECADES * low


def schedules(curves: Sequence[Curve]) -> "Figure | None":
    """One panel a schedule, followed by one for its momentum if that is cycled; at most DRAWN panels."""
    drawn = [panel for curve in curves for panel in _panels(curve)][:DRAWN]
    if not drawn:
        return None
    lengths = {len(line.rates) for curve in curves for line in curve.lines}
    figure, grid = theme.panels(len(drawn), min(ACROSS, len(drawn)), 2.0, sharex=len(lengths) == 1)
    for axes, panel in zip(grid, drawn, strict=True):
        _draw(axes, panel)
    # One legend for all panels wherever it can say what every one of them would.
    several = [place for place, panel in enumerate(drawn) if len(panel.lines) > 1]
    if len({tuple(name for name, _ in drawn[place].lines) for place in several}) == 1:
        handles = grid[several[0]].get_lines()
        figure.legend(handles=handles, loc="outside upper left", ncols=3, handlelength=3.5, fontsize=9)
    else:
        for place in several:
            grid[place].legend(fontsize=7, handlelength=2.5)
    for axes in grid[-min(ACROSS, len(drawn)) :] if len(lengths) == 1 else grid:
        axes.set_xlabel("epochs trained")
    return figure


@dataclass(frozen=True, eq=False)
class _Panel:
    title: str
    unit: str
    lines: tuple[tuple[str, Table], ...]
    momentum: bool = False


def _panels(curve: Curve) -> Iterator[_Panel]:
    if len(curve.lines) == 1 and not curve.lines[0].open:
        yield _Panel(curve.name, "learning rate", ((_names(curve.lines), curve.lines[0].rates),))
    else:
        shapes = tuple((_names(lines), share) for lines, share in _proportional(curve.lines))
        yield _Panel(f"{curve.name}\n{_highest(curve.lines)}", "rate / highest rate", shapes)
    cycled: dict[tuple[Any, ...], tuple[list[Line], Table]] = {}
    for line in curve.lines:
        if line.momentum is not None:
            key = (line.momentum.shape, line.momentum.tobytes())
            cycled.setdefault(key, ([], line.momentum))[0].append(line)
    if cycled:
        momenta = tuple((_names(same), table) for same, table in cycled.values())
        yield _Panel(f"{curve.name}: momentum", "momentum", momenta, momentum=True)


def _proportional(lines: Sequence[Line]) -> list[tuple[list[Line], Table]]:
    """The lines that differ by a factor alone together, with their rates as a share of the highest."""
    found: list[tuple[list[Line], Table]] = []
    for line in lines:
        share = line.rates / max(float(line.rates.max()), 1e-30)
        for same, other in found:
            if share.shape == other.shape and np.allclose(share, other, rtol=1e-4, atol=1e-5):
                same.append(line)
                break
        else:
            found.append(([line], share))
    return found


def _names(lines: Sequence[Line]) -> str:
    return ", ".join(dict.fromkeys(name for line in lines for name in line.optimizers))


def _highest(lines: Sequence[Line]) -> str:
    """The highest rate of each line in words, or their range where that takes too much room."""
    highest = [float(line.rates.max()) for line in lines]
    named: dict[str, list[Line]] = {}
    for line, rate in zip(lines, highest, strict=True):
        named.setdefault("auto" if line.open else f"{rate:.3g}", []).append(line)
    words = "highest: " + ", ".join(f"{_names(same)} {rate}" for rate, same in named.items())
    if len(textwrap.wrap(words, _TITLE)) <= _TITLE_LINES:
        return words
    known = [rate for line, rate in zip(lines, highest, strict=True) if not line.open]
    return f"highest: {min(known):.3g} to {max(known):.3g}" if known else "highest: auto"


def _draw(axes: "Axes", panel: _Panel) -> None:
    from matplotlib.ticker import MaxNLocator

    decades = not panel.momentum and any(spans_decades(table) for _, table in panel.lines)
    for place, (name, table) in enumerate(panel.lines):
        x, y = _thinned(table)
        style = (place + panel.momentum) % len(SERIES)
        axes.plot(
            x,
            np.where(y > 0, y, np.nan) if decades else y,
            color=SERIES[style],
            ls=DASHES[place % len(DASHES)],
            marker="o" if len(y) < 3 else None,
            label="\n".join(textwrap.wrap(name, 24)),
        )
    if decades:
        axes.set_yscale("log")
        theme.plain_log(axes.yaxis)
    elif not panel.momentum:
        axes.set_ylim(bottom=0.0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, min_n_ticks=1))
    wrapped = [line for part in panel.title.split("\n") for line in textwrap.wrap(part, _TITLE)]
    axes.set_title("\n".join(wrapped), loc="left", fontsize=9)
    axes.set_ylabel(panel.unit, fontsize=9)


def _thinned(table: Table) -> tuple[npt.NDArray[np.float64], Table]:
    """Time in epochs and value of the steps that the eye can tell apart, extremes among them."""
    steps = table.shape[1]
    flat = table.ravel()
    count = len(flat)
    places: npt.NDArray[Any] = np.arange(count)
    if count > 2 * _POINTS:
        edges = np.linspace(0, count, _POINTS + 1).astype(int)
        ends = [(a + flat[a:b].argmin(), a + flat[a:b].argmax()) for a, b in pairwise(edges)]
        places = np.unique([0, count - 1, *(place for pair in ends for place in pair)])
    return places / steps, flat[places]


def caption(curves: Sequence[Curve]) -> str:
    """What the picture shows, in words."""
    total = sum(1 for curve in curves for _ in _panels(curve))
    some = f"The first {DRAWN} of {total} panels. " if total > DRAWN else ""
    shared = any(len(curve.lines) > 1 for curve in curves)
    return (
        f"{some}The learning rate of every step as the schedule has it, before any rule reacts; one panel a "
        "schedule. The axis is logarithmic where a schedule spends a quarter of its time far below its highest "
        "rate; zero is not drawn there."
        + (
            " Where a schedule means other rates for other optimizers, it is drawn as a share of the highest of "
            "each, which stands above the panel."
            if shared
            else ""
        )
        + (" Orange: the momentum." if any(line.momentum is not None for c in curves for line in c.lines) else "")
    )
