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
_LABEL_WIDTH, _SIDE_LABEL_WIDTH = 56, 38
# Heights in the diagram of mean ranks, in inches: from bar to bar, and from the axis up to the top.
_BAR_DISTANCE, _RULER = 0.2, 0.65
MEANINGFUL = 0.75
"""The probability to win from which on a difference matters: Bouthillier et al., "Accounting for variance in
machine learning benchmarks" (2021)."""


def wins(c: Comparison) -> "Figure | None":
    """The probability that the recipe of a row beats that of a column on a new seed, for the first recipes."""
    pairs = {(row["recipe"], row["rival"]): row["probability"] for row in c.wins.to_pylist()}
    recipes = list(dict.fromkeys(recipe for recipe, _ in pairs))[:MAX_WINS]
    if len(recipes) < 2:
        return None
    names = [style.folded(f"{position}   {recipe}", _LABEL_WIDTH) for position, recipe in enumerate(recipes, 1)]
    widest = max(len(line) for name in names for line in name.split("\n"))
    height = (style.row_height(names) + 0.06) * len(recipes) + 1.0
    figure, axes = style.single(height, min(len(recipes) * 0.62 + widest * 0.09 + 0.5, WIDTH))
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
    names = [style.folded(row["recipe"], _SIDE_LABEL_WIDTH) for row in rows]
    step = style.row_height(names) - 0.06
    first_label = 0.3 + _BAR_DISTANCE * (1 + max((level for *_, level in bars), default=0)) + step / 2
    left = (len(rows) + 1) // 2
    depth = first_label + step * left
    end = max(np.ceil(ranks[-1]), 1.0 + np.ceil(critical))
    figure, axes = style.single(depth + _RULER + 0.4)
    axes.set_ylim(depth, -_RULER)
    _draw_axis(axes, end, critical)
    for first, last, level in bars:
        y = 0.25 + _BAR_DISTANCE * level
        axes.plot([ranks[first] - 0.01 * end, ranks[last] + 0.01 * end], [y, y], color=SERIES[0], lw=4.5, zorder=3)
    for position, name in enumerate(names):
        is_left = position < left
        row = position if is_left else len(names) - 1 - position
        _draw_leader(axes, ranks[position], first_label + step * row, name, is_left)
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
    y = -_RULER + 0.12
    axes.plot([1, 1 + critical], [y, y], **line)
    for x in (1, 1 + critical):
        axes.plot([x, x], [y - 0.06, y + 0.06], **line)
    axes.annotate(
        f"critical difference {critical:.2f}",
        (1 + critical, y),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
    )


def _draw_leader(axes: "Axes", rank: float, depth: float, name: str, is_left: bool) -> None:
    """A line from the axis down to `depth` and to the side, with the name and the rank at its end."""
    transform = axes.get_yaxis_transform()
    axes.plot([rank, rank], [0, depth], color=SOFT, lw=0.9)
    edge = axes.get_xlim()[0 if is_left else 1]
    axes.plot([rank, edge], [depth, depth], color=SOFT, lw=0.9)
    axes.text(
        -0.01 if is_left else 1.01,
        depth,
        f"{name}   {rank:.2f}" if is_left else f"{rank:.2f}   {name}",
        transform=transform,
        ha="right" if is_left else "left",
        va="center",
        fontsize=9,
    )
