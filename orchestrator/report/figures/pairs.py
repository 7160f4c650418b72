"""Figures of pairs of recipes: who beats whom on a new seed, and whose mean ranks differ by more than chance."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.analysis.comparison import Comparison
from orchestrator.report.figures import style
from orchestrator.report.figures.comparison import bare_grid, draw_cell
from orchestrator.report.figures.style import INK, SERIES, SOFT, WIDTH
from orchestrator.report.number_format import probability

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_WINS = 12
"""Recipes in the figure of all pairs."""
MAX_RANKS = 16
"""Recipes in the diagram of mean ranks."""
MEANINGFUL = 0.75
"""The probability to win from which on a difference matters: Bouthillier et al., "Accounting for variance in
machine learning benchmarks" (2021)."""


def wins(c: Comparison) -> "Figure | None":
    """The probability that the recipe of a row beats that of a column on a new seed, for the first recipes."""
    pairs = {(row["recipe"], row["rival"]): row["probability"] for row in c.wins.to_pylist()}
    recipes = list(dict.fromkeys(recipe for recipe, _ in pairs))[:MAX_WINS]
    if len(recipes) < 2:
        return None
    names = [style.folded(f"{position}   {recipe}", 48) for position, recipe in enumerate(recipes, 1)]
    widest = max(len(line) for name in names for line in name.split("\n"))
    figure, axes = style.single(0.36 * len(recipes) + 1.2, min(len(recipes) * 0.62 + widest * 0.09 + 0.5, WIDTH))
    for y, recipe in enumerate(recipes):
        for x, rival in enumerate(recipes):
            value = pairs.get((recipe, rival))
            if x == y:
                continue
            outline = 1.4 if value is not None and value >= MEANINGFUL else 0.0
            draw_cell(axes, x, y, probability(value) or "·", value, outline)
    axes.set_xticks(range(len(recipes)), [str(position) for position in range(1, len(recipes) + 1)])
    axes.set_yticks(range(len(recipes)), names)
    axes.set_xlabel("the rival's number", labelpad=6)
    axes.xaxis.set_label_position("top")
    bare_grid(axes, len(recipes), len(recipes))
    return figure


def groups(ranks: Sequence[float], critical: float) -> list[tuple[int, int]]:
    """The first and the last position of each largest group whose sorted ranks differ by less than `critical`.

    >>> groups([1.0, 1.5, 2.5, 4.0], 1.6)
    [(0, 2), (2, 3)]
    """
    result: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(n for n, other in enumerate(ranks) if n == first or other - rank < critical)
        if last > first and (not result or last > result[-1][1]):
            result.append((first, last))
    return result


def critical_difference(c: Comparison) -> "Figure | None":
    """The diagram of Demšar (2006): mean ranks on an axis, with bars over recipes that are not told apart."""
    rows = c.seed_ranks.to_pylist()[:MAX_RANKS]
    if len(rows) < 2:
        return None
    ranks = [float(row["mean_rank"]) for row in rows]
    critical = float(rows[0]["critical_difference"])
    bars = _levels(groups(ranks, critical), ranks)
    lowest = 0.5 + 0.3 * (1 + max((level for *_, level in bars), default=-1))
    left = (len(rows) + 1) // 2
    end = max(np.ceil(ranks[-1]), 1.0 + np.ceil(critical))
    figure, axes = style.single(0.24 * (lowest / 0.3 + left) + 1.3)
    _draw_axis(axes, end, critical)
    for first, last, level in bars:
        y = 0.45 + 0.3 * level
        axes.plot([ranks[first] - 0.02 * end, ranks[last] + 0.02 * end], [y, y], color=SERIES[0], lw=4.5, zorder=3)
    for position, row in enumerate(rows):
        is_left = position < left
        depth = lowest + 0.36 * (position if is_left else len(rows) - 1 - position) + 0.2
        _draw_leader(axes, ranks[position], depth, row["recipe"], is_left)
    axes.set_ylim(lowest + 0.36 * left + 0.2, -1.25)
    return figure


def _levels(bars: Sequence[tuple[int, int]], ranks: Sequence[float]) -> list[tuple[int, int, int]]:
    """The bars with their heights, 0 the highest: bars that overlap have different heights."""
    ends: list[int] = []
    result = []
    for first, last in bars:
        level = next((n for n, end in enumerate(ends) if end < first), len(ends))
        ends[level : level + 1] = [last]
        result.append((first, last, level))
    return result


def _draw_axis(axes: "Axes", end: float, critical: float) -> None:
    """The axis of ranks at height 0 from 1 to `end`, and above it the length of the critical difference."""
    from matplotlib.ticker import MaxNLocator

    axes.grid(False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.yaxis.set_visible(False)
    axes.set_xlim(1, end)
    axes.spines["top"].set(visible=True, position=("data", 0.0))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=2))
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False)
    line: dict[str, Any] = {"color": INK, "lw": 1.6}
    axes.plot([1, 1 + critical], [-0.95, -0.95], **line)
    for x in (1, 1 + critical):
        axes.plot([x, x], [-1.05, -0.85], **line)
    axes.text(1 + critical, -0.95, f"  critical difference {critical:.2f}", va="center", fontsize=9)


def _draw_leader(axes: "Axes", rank: float, depth: float, recipe: str, is_left: bool) -> None:
    """A line from the axis down to `depth` and to the side, with the recipe's name and its rank at its end."""
    transform = axes.get_yaxis_transform()
    axes.plot([rank, rank], [0, depth], color=SOFT, lw=0.9)
    edge = axes.get_xlim()[0 if is_left else 1]
    axes.plot([rank, edge], [depth, depth], color=SOFT, lw=0.9)
    name = style.folded(recipe, 36)
    axes.text(
        -0.01 if is_left else 1.01,
        depth,
        f"{name}   {rank:.2f}" if is_left else f"{rank:.2f}   {name}",
        transform=transform,
        ha="right" if is_left else "left",
        va="center",
        fontsize=9,
    )
