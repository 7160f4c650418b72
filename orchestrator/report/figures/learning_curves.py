"""Figures over epochs: learning curves, the first recipes, ranks by stage, learning rates."""

from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.analysis.comparison import Comparison
from orchestrator.analysis.observations import METRICS
from orchestrator.report.figures import style
from orchestrator.report.figures.style import DASHES, FAINT, INK, SERIES, SOFT, WIDTH
from orchestrator.report.marks import rank_text
from orchestrator.report.number_format import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_LEADERS = len(SERIES)
MAX_PANELS = 16
MAX_RANK_LINES = 10
MAX_SCHEDULES = 24
Columns = dict[str, Any]
"""Values by the name of their column: of one row, or arrays of several rows."""


def _ranked(c: Comparison) -> list[Columns]:
    return [row for row in c.ranking.to_pylist() if row["rank"] is not None]


def _band(axes: "Axes", curve: Columns, metric: str, colour: str, **line: Any) -> None:
    x = curve["epoch"]
    axes.fill_between(
        x, curve[f"{metric}_lowest"], curve[f"{metric}_highest"], color=colour, alpha=0.22, linewidth=0
    )
    marker: Columns = {"marker": "o", "markersize": 4} if len(x) < 3 else {}
    axes.plot(x, curve[f"{metric}_mean"], color=colour, **marker, **line)


def _whole_epochs(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, min_n_ticks=1))


def leaders(c: Comparison) -> "Figure | None":
    """The first recipes' monitored metric after each epoch in one panel, with a legend of their ranks."""
    by_recipe = style.split(c.curves, "recipe")
    rows = [row for row in _ranked(c) if row["recipe"] in by_recipe][:MAX_LEADERS]
    if not rows:
        return None
    figure, axes = style.single(4.4)
    for row, colour, dashes in zip(rows, SERIES, DASHES, strict=False):
        label = f"{rank_text(row)}  {row['recipe']}  {number(row[f'final_{c.monitor}_mean'])}"
        _band(axes, by_recipe[row["recipe"]], c.monitor, colour, linestyle=dashes, label=label)
    axes.set_xlabel("epochs trained")
    axes.set_ylabel(f"{c.monitor_label}, mean over seeds")
    _whole_epochs(axes)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), title="rank, recipe, final", handlelength=3.5)
    return figure


def curves(c: Comparison, metric: str) -> "Figure | None":
    """One panel per recipe; for many recipes one per optimizer, with its best schedule in front."""
    by_recipe = style.split(c.curves, "recipe")
    rows = [row for row in _ranked(c) if row["recipe"] in by_recipe]
    if not rows:
        return None
    groups = [[row] for row in rows]
    if len(rows) > MAX_PANELS:
        optimizers = dict.fromkeys(row["optimizer"] for row in rows)
        groups = [[row for row in rows if row["optimizer"] == optimizer] for optimizer in optimizers]
    groups = groups[:MAX_PANELS]
    across = min(4, len(groups))
    figure, grid = style.panels(len(groups), across, 1.9, sharex=True, sharey=True)
    for axes, group in zip(grid, groups, strict=True):
        for row in rows if len(rows) <= MAX_PANELS else group:
            curve = by_recipe[row["recipe"]]
            axes.plot(curve["epoch"], curve[f"{metric}_mean"], color=FAINT, lw=0.8)
        best = group[0]
        curve = by_recipe[best["recipe"]]
        if metric.startswith("val_"):
            training = curve[f"{metric.removeprefix('val_')}_mean"]
            axes.plot(curve["epoch"], training, color=SOFT, lw=1.0, ls=DASHES[2])
        _band(axes, curve, metric, SERIES[0])
        final = number(best[f"final_{metric}_mean"])
        name = best["recipe"] if len(group) == 1 else f"{best['optimizer']}\nbest: {best['schedule']}"
        axes.set_title(f"{rank_text(best)}  {style.folded(name, 30)}\n{final}", loc="left", fontsize=9)
        _whole_epochs(axes)
    for axes in grid[::across]:
        axes.set_ylabel(METRICS[metric].replace(" ", "\n"))
    for axes in grid[-across:]:
        axes.set_xlabel("epochs trained")
    return figure


def rank_lines(c: Comparison) -> "Figure | None":
    """The rank of the first recipes at each stage, a line for each."""
    rows = _ranked(c)[:MAX_RANK_LINES]
    if len(rows) < 2:
        return None
    stages = style.split(c.stages, "recipe")
    names = stages[rows[0]["recipe"]]["stage"].tolist()
    figure, axes = style.single(0.32 * max(len(rows), 8) + 1.2, WIDTH)
    leaders_of_a_stage = {name for name, columns in stages.items() if (columns["rank"] == 1).any()}
    lowest = max(int(stages[row["recipe"]]["rank"].max()) for row in rows)
    label_heights = _spaced([1 - (row["rank"] - 0.4) / (lowest + 0.2) for row in rows], 0.06)
    for row, label_height in zip(rows, label_heights, strict=True):
        ranks = stages[row["recipe"]]["rank"]
        is_winner, has_led = row["rank"] == 1, row["recipe"] in leaders_of_a_stage
        colour = SERIES[0] if is_winner else SERIES[1] if has_led else SOFT
        axes.plot(
            range(len(names)),
            ranks,
            color=colour,
            lw=3.0 if is_winner else 2.0 if has_led else 1.1,
            marker="o",
            markersize=7 if is_winner or has_led else 5,
            ls="-" if is_winner or not has_led else DASHES[1],
        )
        axes.annotate(
            f"{rank_text(row)}  {row['recipe']}",
            (len(names) - 1, row["rank"]),
            xytext=(len(names) - 0.8, label_height),
            textcoords=axes.get_xaxis_transform(),
            arrowprops={
                "arrowstyle": "-",
                "color": FAINT,
                "lw": 0.8,
                "shrinkA": 2,
                "shrinkB": 6,
                "relpos": (0, 0.5),
            },
            va="center",
            color=INK,
        )
    axes.set_xticks(range(len(names)), [f"{name} of\nthe epochs" for name in names])
    axes.set_xlim(-0.15, len(names) + 0.1)
    axes.set_ylim(lowest + 0.6, 0.4)
    _whole_ranks(axes, lowest)
    axes.set_ylabel("rank among all recipes")
    axes.grid(False, axis="y")
    return figure


def _spaced(heights: list[float], gap: float) -> list[float]:
    """Descending heights, lowered to at least `gap` below the height before."""
    result: list[float] = []
    for height in heights:
        result.append(min(height, result[-1] - gap) if result else height)
    return result


def _whole_ranks(axes: "Axes", lowest: int) -> None:
    step = max(1, -(-lowest // 12))
    axes.set_yticks([1, *range(1 + step, lowest + 1, step)] if step > 1 else list(range(1, lowest + 1)))


def schedules(c: Comparison) -> "Figure | None":
    """The learning rate by epoch: one panel per schedule, one line per different table of rates."""
    by_recipe = style.split(c.schedules, "recipe")
    ranks = {row["recipe"]: row["rank"] or np.inf for row in c.ranking.to_pylist()}
    by_schedule: dict[str, dict[bytes, Columns]] = {}
    for recipe in sorted(by_recipe, key=lambda recipe: ranks.get(recipe, np.inf)):
        line = by_recipe[recipe]
        lines = by_schedule.setdefault(str(line["schedule"][0]), {})
        lines.setdefault(line["learning_rate"].tobytes(), line)
    if not by_schedule:
        return None
    panels = list(by_schedule.items())[:MAX_SCHEDULES]
    across = min(4, len(panels))
    figure, grid = style.panels(len(panels), across, 1.8, sharex=True)
    for axes, (name, lines) in zip(grid, panels, strict=True):
        for position, line in enumerate(lines.values()):
            axes.plot(
                line["epoch"],
                np.where(line["learning_rate"] > 0, line["learning_rate"], np.nan),
                color=FAINT if position else SERIES[0],
                lw=0.9 if position else 1.8,
                zorder=-position,
                marker="o" if len(line["epoch"]) < 3 else None,
            )
        axes.set_yscale("log")
        style.plain_log(axes.yaxis)
        best_optimizer = next(iter(lines.values()))["optimizer"][0]
        axes.set_title(f"{name}\nblue: {best_optimizer}" if len(lines) > 1 else name, loc="left", fontsize=9)
        _whole_epochs(axes)
    for axes in grid[::across]:
        axes.set_ylabel("learning rate")
    for axes in grid[-across:]:
        axes.set_xlabel("epoch")
    return figure
