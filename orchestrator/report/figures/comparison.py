"""Pictures of results: intervals by recipe, the matrix, the performance profile, the sensitivity."""

from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.analysis.comparison import Comparison
from orchestrator.report import number_format, tables
from orchestrator.report.figures import colour_scale, style
from orchestrator.report.figures.style import DASHES, FAINT, INK, SERIES, SOFT, WIDTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 30
WRITTEN, DRAWN = 16, 60
MARKERS = {"winner": "D", "not distinguishable": "o", "different": "o", "not tested": "X"}
MEANS = {
    "winner": "the winner",
    "not distinguishable": "cannot be told apart from the winner",
    "different": "behind by more than chance",
    "not tested": "not tested",
}


def forest(c: Comparison) -> "Figure | None":
    """The final monitored metric of each recipe with its interval, best at the top."""
    metric = f"final_{c.monitor}"
    rows = [r for r in c.ranking.to_pylist() if r["rank"] is not None and np.isfinite(r[f"{metric}_mean"])][:SHOWN]
    if not rows:
        return None
    figure, axes = style.single(0.3 * len(rows) + 1.5)
    seen: set[str] = set()
    winner = rows[0]
    if winner[f"{metric}_low"] is not None:
        axes.axvspan(winner[f"{metric}_low"], winner[f"{metric}_high"], color=SERIES[0], alpha=0.12, lw=0)
    for place, row in enumerate(rows):
        mean, low, high = (row[f"{metric}_{end}"] for end in ("mean", "low", "high"))
        verdict = row["verdict"]
        strong = verdict in ("winner", "not distinguishable")
        colour = SERIES[0] if strong else SERIES[1] if verdict == "not tested" else SOFT
        if low is not None:
            axes.plot([low, high], [place, place], color=colour, lw=1.6, solid_capstyle="butt")
        axes.plot(
            [mean],
            [place],
            color=colour,
            marker=MARKERS[verdict],
            markersize=8,
            markerfacecolor=colour if verdict != "different" else FAINT,
            ls="none",
            label=None if verdict in seen else MEANS[verdict],
        )
        seen.add(verdict)
        interval = number_format.between(low, high)
        axes.annotate(
            f"{number_format.number(mean)}  {f'({interval})' if interval else '(no interval)'}",
            (1.0, place),
            xycoords=("axes fraction", "data"),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.set_yticks(range(len(rows)), [f"{tables.ranked(r)}   {r['recipe']}" for r in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(f"final {c.monitor_label}: mean over seeds and 95 % interval")
    axes.grid(False, axis="y")
    figure.legend(loc="outside upper left", ncols=4, handletextpad=0.3, columnspacing=1.5, fontsize=9)
    return figure


def matrix(c: Comparison, grid: tables.Grid) -> "Figure | None":
    """One optimizer x schedule matrix as a heat map with its numbers; None where it would be too large to
    read.
    """
    from matplotlib.patches import Rectangle

    flip = len(grid.schedules) > len(grid.optimizers)
    down, across = (grid.schedules, grid.optimizers) if flip else (grid.optimizers, grid.schedules)
    if max(len(down), len(across)) > DRAWN or not grid.cells:
        return None
    write = len(across) <= WRITTEN
    wide = max(0.78 if write else 0.3, max(map(len, across)) * 0.075 if len(across) <= 8 else 0)
    label = max(map(len, down)) * 0.09 + 0.4
    figure, axes = style.single(
        len(down) * (0.36 if write else 0.22) + 1.2, min(len(across) * wide + label, WIDTH)
    )
    for y, row in enumerate(down):
        for x, column in enumerate(across):
            field = grid.cells.get((column, row) if flip else (row, column))
            if field is None:
                axes.text(x, y, "·", ha="center", va="center", color=SOFT)
                continue
            shade = field.shade
            if shade is not None:
                ground = colour_scale.written(colour_scale.scale(shade))
                winner = "*" in field.text
                edge: dict[str, Any] = (
                    {"ec": INK, "lw": 2.5, "zorder": 3} if winner else {"ec": "none", "zorder": 2}
                )
                axes.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, fc=ground, **edge))
            if write:
                ink = INK if shade is None else colour_scale.written(colour_scale.ink(shade))
                axes.text(x, y, field.text, ha="center", va="center", color=ink, fontsize=9.5, zorder=4)
    slanted = len(across) > 6 and max(map(len, across)) > 7
    axes.set_xticks(
        range(len(across)),
        across,
        rotation=35 if slanted else 0,
        ha="left" if slanted else "center",
        rotation_mode="anchor",
    )
    axes.set_yticks(range(len(down)), down)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.set_xlim(-0.55, len(across) - 0.45)
    axes.set_ylim(len(down) - 0.45, -0.55)
    axes.grid(False)
    for side in axes.spines.values():
        side.set_visible(False)
    return figure


def profile(c: Comparison) -> "Figure | None":
    """The performance profile over seconds: for each recipe the share of seeds solved within a ratio."""
    from matplotlib.ticker import FuncFormatter, PercentFormatter

    steps = style.split(c.profile.filter(_is(c, "seconds")), "recipe")
    scores = {row["recipe"]: row["score"] or 0.0 for row in c.targets.to_pylist()}
    reached = [name for name in sorted(steps, key=lambda n: -scores[n]) if steps[name]["share"].max() > 0]
    if not reached:
        return None
    limit = min(max(float(steps[name]["ratio"].max()) for name in reached), 64.0) * 1.15 + 0.05
    figure, axes = style.single(3.8)
    for name in reached[::-1]:
        place = reached.index(name)
        x = np.append(steps[name]["ratio"], max(limit, steps[name]["ratio"][-1]))
        y = np.append(steps[name]["share"], steps[name]["share"][-1])
        front = place < len(SERIES)
        axes.plot(
            x,
            y,
            drawstyle="steps-post",
            color=SERIES[place] if front else FAINT,
            ls=DASHES[place] if front else "-",
            lw=2.0 if front else 0.8,
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
    optimizers = list(dict.fromkeys(str(f["optimizer"][0]) for f in families.values()))[:WRITTEN]
    across = min(3, len(optimizers))
    figure, grid = style.panels(len(optimizers), across, 2.8, sharey=True)
    for axes, optimizer in zip(grid, optimizers, strict=True):
        mine = [f for f in families.values() if f["optimizer"][0] == optimizer]
        for place, family in enumerate(sorted(mine, key=lambda f: -np.nanmax(f["final_mean"]))):
            front = place < len(SERIES)
            x, mean = family["learning_rate"], family["final_mean"]
            ends = np.nan_to_num(np.stack([mean - family["final_low"], family["final_high"] - mean]))
            axes.errorbar(
                x,
                mean,
                yerr=ends,
                color=SERIES[place] if front else FAINT,
                ls=DASHES[place] if front else "-",
                marker="o",
                markersize=4,
                capsize=3,
                elinewidth=1,
                label=str(family["recipe"][0]).removeprefix(f"{optimizer} + ") if front else None,
            )
        axes.set_xscale("log")
        style.plain_log(axes.xaxis)
        axes.set_title(optimizer, loc="left")
        axes.set_xlabel("peak learning rate")
        axes.legend(fontsize=8, handlelength=3.5)
    for axes in grid[::across]:
        axes.set_ylabel(f"final {c.monitor_label}")
    return figure
