"""Figures of results: matrices, training lengths, the performance profile, the sensitivity."""

from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.analysis.comparison import Comparison
from orchestrator.report.figures import colour_scale, style
from orchestrator.report.figures.style import DASHES, FAINT, INK, SERIES, SOFT, WIDTH
from orchestrator.report.matrix import Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_SIDE = 60
"""A matrix with more rows or columns than this is not drawn."""
MAX_NUMBERED_COLUMNS = 16
"""A matrix with more columns than this is drawn without its numbers."""
MAX_SENSITIVITY_PANELS = 16


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
            if (cell := matrix.cell(row, column)) is None:
                draw_cell(axes, x, y, "·")
            else:
                outline = 2.5 if "*" in cell.text else 0.0
                draw_cell(axes, x, y, cell.text if has_numbers else "", cell.shade, outline)
    is_slanted = len(columns) > 6 and longest_head > 7
    axes.set_xticks(
        range(len(columns)),
        columns,
        rotation=35 if is_slanted else 0,
        ha="left" if is_slanted else "center",
        rotation_mode="anchor",
    )
    axes.set_yticks(range(len(rows)), rows)
    bare_grid(axes, len(rows), len(columns))
    return figure


def bare_grid(axes: "Axes", rows: int, columns: int) -> None:
    """Fit the axes to so many cells, the first row at the top, with heads above and no lines."""
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.set_xlim(-0.55, columns - 0.45)
    axes.set_ylim(rows - 0.45, -0.55)
    axes.grid(False)
    for side in axes.spines.values():
        side.set_visible(False)


def draw_cell(axes: "Axes", x: int, y: int, text: str, shade: float | None = None, outline: float = 0.0) -> None:
    """A cell with `text` in the colour of `shade`, from 0 to 1, outlined and bold if `outline` is a line width.

    A cell without a shade is text alone.
    """
    from matplotlib.patches import Rectangle

    ink = SOFT if text == "·" else INK
    if shade is not None:
        background = colour_scale.hex_colour(colour_scale.scale(shade))
        ink = colour_scale.hex_colour(colour_scale.ink(shade))
        edge: dict[str, Any] = {"ec": INK, "lw": outline, "zorder": 3} if outline else {"ec": "none", "zorder": 2}
        axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, fc=background, **edge))
    weight = "bold" if outline else "normal"
    axes.text(x, y, text, ha="center", va="center", color=ink, fontsize=9.5, fontweight=weight, zorder=4)


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


def _named_families(c: Comparison) -> list[str]:
    """The recipes without their training length: first those that lead at some length, the longest first."""
    rows = sorted((row for row in c.horizons.to_pylist() if row["rank"]), key=lambda row: -row["epochs"])
    leaders = [row["recipe"] for row in rows if row["rank"] == 1]
    return list(dict.fromkeys([*leaders, *(row["recipe"] for row in rows)]))


def horizon_caption(c: Comparison) -> str:
    """What the lines and the marks of `horizons` are; "" without training lengths."""
    families = len(_named_families(c))
    grey = f" Grey: {families - len(SERIES)} more recipes." if families > len(SERIES) else ""
    return (
        f"Final {c.monitor_label} against the training length, mean over seeds, a line for each recipe. Filled: "
        f"it may be the best of its length; hollow: ruled out there, with 95 % certainty.{grey}"
    )


def horizons(c: Comparison) -> "Figure | None":
    """Final monitored metric against training length, a line for each recipe, the confidence sets filled."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    by_family = style.split(c.horizons, "recipe")
    names = _named_families(c)
    if not names:
        return None
    figure, axes = style.single(4.4)
    for position, name in reversed(list(enumerate(names))):
        rows = by_family[name]
        is_named = position < len(SERIES)
        colour = SERIES[position] if is_named else FAINT
        x, y = rows["epochs"].astype(float), rows["final_mean"]
        axes.plot(x, y, color=colour, ls=DASHES[position] if is_named else "-", lw=2.0 if is_named else 0.8)
        for within, face in ((rows["in_set"].astype(bool), colour), (~rows["in_set"].astype(bool), "none")):
            marks = within & np.isfinite(y)
            axes.plot(x[marks], y[marks], color=colour, ls="", marker="o", markersize=7, markerfacecolor=face)
    handles = [
        axes.plot([], [], color=SERIES[i], ls=DASHES[i], lw=2.0, label=name)[0]
        for i, name in enumerate(names[: len(SERIES)])
    ]
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), title="recipe", handlelength=3.5)
    axes.set_xscale("log", base=2)
    lengths = sorted(set(c.horizons.column("epochs").to_pylist()))
    axes.xaxis.set_major_locator(FixedLocator(lengths))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("training length (epochs)")
    axes.set_ylabel(f"final {c.monitor_label}, mean over seeds")
    return figure


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
