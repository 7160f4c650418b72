"""Figures of results: intervals by recipe, matrices, the performance profile, the sensitivity."""

from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.analysis.comparison import Comparison
from orchestrator.report.figures import colour_scale, style
from orchestrator.report.figures.style import DASHES, FAINT, INK, SERIES, SOFT, WIDTH
from orchestrator.report.marks import rank_text
from orchestrator.report.matrix import Matrix, MatrixCell
from orchestrator.report.number_format import between, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_RECIPES = 30
MAX_SIDE = 60
"""A matrix with more rows or columns than this is not drawn."""
MAX_NUMBERED_COLUMNS = 16
"""A matrix with more columns than this is drawn without its numbers."""
MAX_SENSITIVITY_PANELS = 16
MARKERS = {"winner": "D", "not distinguishable": "o", "different": "o", "not tested": "X"}
LEGEND = {
    "winner": "the winner",
    "not distinguishable": "cannot be told apart from the winner",
    "different": "behind by more than chance",
    "not tested": "not tested",
}


def forest(c: Comparison) -> "Figure | None":
    """The final monitored metric of each recipe with its interval, the best recipe at the top."""
    metric = f"final_{c.monitor}"
    rows = [r for r in c.ranking.to_pylist() if r["rank"] is not None and np.isfinite(r[f"{metric}_mean"])]
    rows = rows[:MAX_RECIPES]
    if not rows:
        return None
    figure, axes = style.single(0.3 * len(rows) + 1.5)
    legend: set[str] = set()
    winner = rows[0]
    if winner[f"{metric}_low"] is not None:
        axes.axvspan(winner[f"{metric}_low"], winner[f"{metric}_high"], color=SERIES[0], alpha=0.12, lw=0)
    for y, row in enumerate(rows):
        mean, low, high = (row[f"{metric}_{end}"] for end in ("mean", "low", "high"))
        verdict = row["verdict"]
        is_best = verdict in ("winner", "not distinguishable")
        colour = SERIES[0] if is_best else SERIES[1] if verdict == "not tested" else SOFT
        if low is not None:
            axes.plot([low, high], [y, y], color=colour, lw=1.6, solid_capstyle="butt")
        axes.plot(
            [mean],
            [y],
            color=colour,
            marker=MARKERS[verdict],
            markersize=8,
            markerfacecolor=colour if verdict != "different" else FAINT,
            ls="none",
            label=None if verdict in legend else LEGEND[verdict],
        )
        legend.add(verdict)
        interval = between(low, high)
        axes.annotate(
            f"{number(mean)}  {f'({interval})' if interval else '(no interval)'}",
            (1.0, y),
            xycoords=("axes fraction", "data"),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.set_yticks(range(len(rows)), [f"{rank_text(row)}   {row['recipe']}" for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(f"final {c.monitor_label}: mean over seeds and 95 % interval")
    axes.grid(False, axis="y")
    figure.legend(loc="outside upper left", ncols=4, handletextpad=0.3, columnspacing=1.5, fontsize=9)
    return figure


def heat_map(matrix: Matrix) -> "Figure | None":
    """A matrix in the colour scale, with its numbers if they fit; None for a matrix that is too large to read."""
    rows, columns = matrix.rows, matrix.columns
    if max(len(rows), len(columns)) > MAX_SIDE or not matrix.cells:
        return None
    has_numbers = len(columns) <= MAX_NUMBERED_COLUMNS
    longest_head = max(map(len, columns))
    column_width = max(0.78 if has_numbers else 0.3, longest_head * 0.075 if len(columns) <= 8 else 0)
    label_width = max(map(len, rows)) * 0.09 + 0.4
    height = len(rows) * (0.36 if has_numbers else 0.22) + 1.2
    figure, axes = style.single(height, min(len(columns) * column_width + label_width, WIDTH))
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            _draw_cell(axes, x, y, matrix.cell(row, column), has_numbers)
    is_slanted = len(columns) > 6 and longest_head > 7
    axes.set_xticks(
        range(len(columns)),
        columns,
        rotation=35 if is_slanted else 0,
        ha="left" if is_slanted else "center",
        rotation_mode="anchor",
    )
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.set_xlim(-0.55, len(columns) - 0.45)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.grid(False)
    for side in axes.spines.values():
        side.set_visible(False)
    return figure


def _draw_cell(axes: "Axes", x: int, y: int, cell: MatrixCell | None, has_number: bool) -> None:
    from matplotlib.patches import Rectangle

    if cell is None:
        axes.text(x, y, "·", ha="center", va="center", color=SOFT)
        return
    ink = INK
    if cell.shade is not None:
        background = colour_scale.hex_colour(colour_scale.scale(cell.shade))
        ink = colour_scale.hex_colour(colour_scale.ink(cell.shade))
        is_winner = "*" in cell.text
        edge: dict[str, Any] = {"ec": INK, "lw": 2.5, "zorder": 3} if is_winner else {"ec": "none", "zorder": 2}
        axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, fc=background, **edge))
    if has_number:
        axes.text(x, y, cell.text, ha="center", va="center", color=ink, fontsize=9.5, zorder=4)


def profile(c: Comparison) -> "Figure | None":
    """The performance profile over seconds: the share of each recipe's seeds at the target, by ratio."""
    from matplotlib.ticker import FuncFormatter, PercentFormatter

    steps = style.split(c.profile.filter(_is(c, "seconds")), "recipe")
    scores = {row["recipe"]: row["score"] or 0.0 for row in c.targets.to_pylist()}
    reached = [name for name in sorted(steps, key=lambda n: -scores[n]) if steps[name]["share"].max() > 0]
    if not reached:
        return None
    limit = min(max(float(steps[name]["ratio"].max()) for name in reached), 64.0) * 1.15 + 0.05
    figure, axes = style.single(3.8)
    for position, name in reversed(list(enumerate(reached))):
        x = np.append(steps[name]["ratio"], max(limit, steps[name]["ratio"][-1]))
        y = np.append(steps[name]["share"], steps[name]["share"][-1])
        is_named = position < len(SERIES)
        axes.plot(
            x,
            y,
            drawstyle="steps-post",
            color=SERIES[position] if is_named else FAINT,
            ls=DASHES[position] if is_named else "-",
            lw=2.0 if is_named else 0.8,
        )
    handles = [
        axes.plot([], [], color=SERIES[i], ls=DASHES[i], lw=2.0, label=f"{name}  {scores[name]:.2f}")[0]
        for i, name in enumerate(reached[: len(SERIES)])
    ]
    axes.legend(
        handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), title="recipe, area", handlelength=3.5
    )
    axes.set_xscale("log", base=2)
    axes.set_xlim(1, limit)
    axes.set_ylim(0, 1.05)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("training time over that of the fastest recipe with the same seed (ratio)")
    axes.set_ylabel("seeds that reached the target")
    return figure


def _is(c: Comparison, measure: str) -> Any:
    import pyarrow.compute as pc

    return pc.equal(c.profile.column("measure"), measure)


def sensitivity(c: Comparison) -> "Figure | None":
    """Final monitored metric against peak learning rate, one panel an optimizer, a line for each recipe."""
    families = style.split(c.sensitivity, "recipe")
    if not families:
        return None
    optimizers = list(dict.fromkeys(str(f["optimizer"][0]) for f in families.values()))[:MAX_SENSITIVITY_PANELS]
    across = min(3, len(optimizers))
    figure, grid = style.panels(len(optimizers), across, 2.8, sharey=True)
    for axes, optimizer in zip(grid, optimizers, strict=True):
        panel = [f for f in families.values() if f["optimizer"][0] == optimizer]
        for position, family in enumerate(sorted(panel, key=lambda f: -np.nanmax(f["final_mean"]))):
            is_named = position < len(SERIES)
            x, mean = family["learning_rate"], family["final_mean"]
            ends = np.nan_to_num(np.stack([mean - family["final_low"], family["final_high"] - mean]))
            axes.errorbar(
                x,
                mean,
                yerr=ends,
                color=SERIES[position] if is_named else FAINT,
                ls=DASHES[position] if is_named else "-",
                marker="o",
                markersize=4,
                capsize=3,
                elinewidth=1,
                label=str(family["recipe"][0]).removeprefix(f"{optimizer} + ") if is_named else None,
            )
        axes.set_xscale("log")
        style.plain_log(axes.xaxis)
        axes.set_title(optimizer, loc="left")
        axes.set_xlabel("peak learning rate")
        axes.legend(fontsize=8, handlelength=3.5)
    for axes in grid[::across]:
        axes.set_ylabel(f"final {c.monitor_label}")
    return figure
