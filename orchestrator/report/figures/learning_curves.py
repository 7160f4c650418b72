"""Pictures over epochs: learning curves, the leaders, ranks by stage, learning rates."""

from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.analysis.comparison import Comparison
from orchestrator.analysis.observations import METRICS
from orchestrator.report import number_format, tables
from orchestrator.report.figures import style
from orchestrator.report.figures.style import DASHES, FAINT, INK, SERIES, SOFT, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEADERS = len(SERIES)
PANELS = 16
BUMPED = 10
SCHEDULES = 24
Rows = dict[str, Any]


def _ranked(c: Comparison) -> list[Rows]:
    return [row for row in c.ranking.to_pylist() if row["rank"] is not None]


def _band(axes: "Axes", curve: Rows, metric: str, colour: str, **line: Any) -> None:
    x = curve["epoch"]
    axes.fill_between(
        x, curve[f"{metric}_lowest"], curve[f"{metric}_highest"], color=colour, alpha=0.22, linewidth=0
    )
    alone: Rows = {"marker": "o", "markersize": 4} if len(x) < 3 else {}
    axes.plot(x, curve[f"{metric}_mean"], color=colour, **alone, **line)


def _whole_epochs(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, min_n_ticks=1))


def leaders(c: Comparison) -> "Figure | None":
    """The first recipes' monitored metric after each epoch on one pair of axes, labelled at the side."""
    curves = style.split(c.curves, "recipe")
    rows = [row for row in _ranked(c) if row["recipe"] in curves][:LEADERS]
    if not rows:
        return None
    figure, axes = style.single(4.4)
    for row, colour, dashes in zip(rows, SERIES, DASHES, strict=False):
        text = f"{tables.ranked(row)}  {row['recipe']}  {number_format.number(row[f'final_{c.monitor}_mean'])}"
        _band(axes, curves[row["recipe"]], c.monitor, colour, linestyle=dashes, label=text)
    axes.set_xlabel("epochs trained")
    axes.set_ylabel(f"{c.monitor_label}, mean over seeds")
    _whole_epochs(axes)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), title="rank, recipe, final", handlelength=3.5)
    return figure


def curves(c: Comparison, metric: str) -> "Figure | None":
    """One panel a recipe where they are few, else one an optimizer with its best schedule in front."""
    every = style.split(c.curves, "recipe")
    rows = [row for row in _ranked(c) if row["recipe"] in every]
    if not rows:
        return None
    groups = [[row] for row in rows]
    if len(rows) > PANELS:
        groups = [[r for r in rows if r["optimizer"] == o] for o in dict.fromkeys(r["optimizer"] for r in rows)]
    shown = groups[:PANELS]
    across = min(4, len(shown))
    figure, grid = style.panels(len(shown), across, 1.9, sharex=True, sharey=True)
    for axes, group in zip(grid, shown, strict=True):
        behind = rows if len(rows) <= PANELS else group
        for row in behind:
            axes.plot(every[row["recipe"]]["epoch"], every[row["recipe"]][f"{metric}_mean"], color=FAINT, lw=0.8)
        first = group[0]
        if metric.startswith("val_"):
            trained = every[first["recipe"]]
            axes.plot(trained["epoch"], trained[f"{metric[4:]}_mean"], color=SOFT, lw=1.0, ls=DASHES[2])
        _band(axes, every[first["recipe"]], metric, SERIES[0])
        final = number_format.number(first[f"final_{metric}_mean"])
        name = first["recipe"] if len(group) == 1 else f"{first['optimizer']}\nbest: {first['schedule']}"
        axes.set_title(f"{tables.ranked(first)}  {_folded(name, 30)}\n{final}", loc="left", fontsize=9)
        _whole_epochs(axes)
    for axes in grid[::across]:
        axes.set_ylabel(METRICS[metric].replace(" ", "\n"))
    for axes in grid[-across:]:
        axes.set_xlabel("epochs trained")
    return figure


def _folded(text: str, width: int) -> str:
    import textwrap

    return "\n".join("\n".join(textwrap.wrap(line, width)) for line in text.split("\n"))


def bump(c: Comparison) -> "Figure | None":
    """The rank of the first recipes at each stage."""
    rows = _ranked(c)[:BUMPED]
    if len(rows) < 2:
        return None
    stages = style.split(c.stages, "recipe")
    names = stages[rows[0]["recipe"]]["stage"].tolist()
    figure, axes = style.single(0.32 * max(len(rows), 8) + 1.2, WIDTH)
    leads = {name for name, s in stages.items() if (s["rank"] == 1).any()}
    lowest = max(int(stages[row["recipe"]]["rank"].max()) for row in rows)
    labels = _apart([1 - (row["rank"] - 0.4) / (lowest + 0.2) for row in rows], 0.06)
    for place, row in enumerate(rows):
        ranks = stages[row["recipe"]]["rank"]
        wins, led = row["rank"] == 1, row["recipe"] in leads
        colour = SERIES[0] if wins else SERIES[1] if led else SOFT
        axes.plot(
            range(len(names)),
            ranks,
            color=colour,
            lw=3.0 if wins else 2.0 if led else 1.1,
            marker="o",
            markersize=7 if wins or led else 5,
            ls="-" if wins or not led else DASHES[1],
        )
        axes.annotate(
            f"{tables.ranked(row)}  {row['recipe']}",
            (len(names) - 1, row["rank"]),
            xytext=(len(names) - 0.8, labels[place]),
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


def _apart(heights: list[float], gap: float) -> list[float]:
    """Descending heights moved down until each is `gap` below the one before."""
    result: list[float] = []
    for height in heights:
        result.append(min(height, result[-1] - gap) if result else height)
    return result


def _whole_ranks(axes: "Axes", lowest: int) -> None:
    step = max(1, -(-lowest // 12))
    axes.set_yticks([1, *range(1 + step, lowest + 1, step)] if step > 1 else list(range(1, lowest + 1)))


def schedules(c: Comparison) -> "Figure | None":
    """The learning rate over epochs: one panel a schedule, one line for each different table of rates in it."""
    every = style.split(c.schedules, "recipe")
    best = {row["recipe"]: row["rank"] or np.inf for row in c.ranking.to_pylist()}
    groups: dict[str, dict[bytes, Rows]] = {}
    for name in sorted(every, key=lambda n: best.get(n, np.inf)):
        curve = every[name]
        lines = groups.setdefault(str(curve["schedule"][0]), {})
        lines.setdefault(curve["learning_rate"].tobytes(), curve)
    if not groups:
        return None
    shown = list(groups.items())[:SCHEDULES]
    across = min(4, len(shown))
    figure, grid = style.panels(len(shown), across, 1.8, sharex=True)
    for axes, (name, lines) in zip(grid, shown, strict=True):
        for place, curve in enumerate(lines.values()):
            rate = np.where(curve["learning_rate"] > 0, curve["learning_rate"], np.nan)
            colour = SERIES[0] if place == 0 else FAINT
            alone = "o" if len(rate) < 3 else None
            axes.plot(
                curve["epoch"], rate, color=colour, lw=1.8 if place == 0 else 0.9, zorder=-place, marker=alone
            )
        axes.set_yscale("log")
        style.plain_log(axes.yaxis)
        first = next(iter(lines.values()))["optimizer"][0]
        axes.set_title(f"{name}\nblue: {first}" if len(lines) > 1 else name, loc="left", fontsize=9)
        _whole_epochs(axes)
    for axes in grid[::across]:
        axes.set_ylabel("learning rate")
    for axes in grid[-across:]:
        axes.set_xlabel("epoch")
    return figure
