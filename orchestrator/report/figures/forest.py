"""The figure of the ranking: the final metric of each recipe with its interval, and whether it may be the best."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.analysis import ranking
from orchestrator.analysis.comparison import Comparison
from orchestrator.report.figures import style
from orchestrator.report.figures.style import FAINT, INK, SERIES, SOFT
from orchestrator.report.marks import rank_text
from orchestrator.report.number_format import between, number
from orchestrator.report.text_table import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_RECIPES = 30
MARKERS = {
    ranking.WINNER: "D",
    ranking.EQUIVALENT: "s",
    ranking.SAME: "o",
    ranking.DIFFERENT: "o",
    ranking.WITHHELD: "^",
    ranking.UNTESTED: "X",
    ranking.NOT_LEARNED: "x",
    ranking.NO_RESULT: "x",
}
LEGEND = {
    ranking.WINNER: "the winner",
    ranking.EQUIVALENT: "as good as the best",
    ranking.SAME: "may be the best",
    ranking.DIFFERENT: "not the best",
    ranking.WITHHELD: "verdict withheld",
    ranking.UNTESTED: "not tested",
    ranking.NOT_LEARNED: "did not learn",
    ranking.NO_RESULT: "no result",
}
"""The meaning of each verdict. Recipes of the last two have no rank: the caption counts them."""
CORRECTED = "corrected for having been chosen"
TEST_MARK = "on test images"
_CORRECTED_OFFSET = 0.8
_REACH = 3.0
_LABEL_WIDTH = 56


def drawn_rows(c: Comparison) -> list[Row]:
    """The rows of the ranking that have a rank and a finite final metric, the best first."""
    rows = c.ranking.to_pylist()
    return [row for row in rows if row["rank"] is not None and np.isfinite(row[f"final_{c.monitor}_mean"])]


def has_corrected_value(c: Comparison) -> bool:
    """Whether the winner was chosen among several, and its corrected value is known."""
    return (
        c.winner_value["value"] is not None and sum(rank is not None for rank in c.ranking["rank"].to_pylist()) > 1
    )


def limits(c: Comparison, rows: Sequence[Row]) -> tuple[float, float]:
    """The values between which marks are drawn, so that a hopeless recipe does not press the first ones together.

    They lie around the best and the median mean, by _REACH times the larger of the distance of these two and the
    half width of the winner's interval. Infinite for recipes that are all equal.
    """
    metric = f"final_{c.monitor}"
    best, median = rows[0][f"{metric}_mean"], float(np.median([row[f"{metric}_mean"] for row in rows]))
    low, high = rows[0][f"{metric}_low"], rows[0][f"{metric}_high"]
    reach = _REACH * max(abs(best - median), 0.0 if low is None else (high - low) / 2)
    return (min(best, median) - reach, max(best, median) + reach) if reach > 0 else (-np.inf, np.inf)


def is_cut(c: Comparison) -> bool:
    """Whether some mark or interval of the figure lies outside of the limits."""
    rows = drawn_rows(c)[:MAX_RECIPES]
    if not rows:
        return False
    low, high = limits(c, rows)
    values = [row[f"final_{c.monitor}_{end}"] for row in rows for end in ("mean", "low", "high")]
    return any(value is not None and not low <= value <= high for value in values)


def forest(c: Comparison) -> "Figure | None":
    """The final monitored metric of each recipe with its interval, the best recipe at the top.

    The winner's corrected value has a row below the winner's own, and its interval is a band over all rows. Test
    means are hollow triangles.
    """
    rows = drawn_rows(c)[:MAX_RECIPES]
    if not rows:
        return None
    is_corrected = has_corrected_value(c)
    places = [
        position + (_CORRECTED_OFFSET if is_corrected and position else 0.0) for position in range(len(rows))
    ]
    labels = [style.folded(f"{rank_text(row)}   {row['recipe']}", _LABEL_WIDTH) for row in rows]
    figure, axes = style.single(style.row_height(labels) * (places[-1] + 1) + 1.7)
    shown = limits(c, rows)
    for place, row in zip(places, rows, strict=True):
        _draw_recipe(axes, place, row, f"final_{c.monitor}", shown)
    if is_corrected:
        _draw_corrected(axes, c)
        places.append(_CORRECTED_OFFSET)
        labels.append(CORRECTED)
    _draw_test_means(axes, c, {row["recipe"]: place for place, row in zip(places, rows, strict=False)})
    axes.set_yticks(places, labels)
    if is_corrected:
        axes.get_yticklabels()[-1].set(color=SOFT, fontsize=8.5)
    axes.set_ylim(max(places) + 0.6, -0.6)
    axes.set_xlabel(f"final {c.monitor_label}: mean over seeds and 95 % interval")
    axes.grid(False, axis="y")
    handles, names = axes.get_legend_handles_labels()
    unique: dict[Any, Any] = {}
    for name, handle in zip(names, handles, strict=True):
        unique.setdefault(name, handle)
    figure.legend(
        unique.values(),
        unique.keys(),
        loc="outside upper left",
        ncols=len(unique),
        handletextpad=0.3,
        columnspacing=1.5,
        fontsize=9,
    )
    return figure


def _colour(row: Row) -> str:
    if row["verdict"] == ranking.UNTESTED:
        return SERIES[1]
    return SERIES[0] if row["in_set"] or row["verdict"] == ranking.WINNER else SOFT


def _draw_recipe(axes: "Axes", place: float, row: Row, metric: str, shown: tuple[float, float]) -> None:
    mean, low, high = (row[f"{metric}_{end}"] for end in ("mean", "low", "high"))
    verdict, colour = row["verdict"], _colour(row)
    if low is not None:
        axes.plot(np.clip([low, high], *shown), [place, place], color=colour, lw=1.6, solid_capstyle="butt")
    is_ruled_out = verdict in (ranking.DIFFERENT, ranking.WITHHELD)
    style_of_mark: dict[str, Any] = {
        "color": colour,
        "markersize": 8,
        "markerfacecolor": FAINT if is_ruled_out else colour,
        "ls": "none",
    }
    axes.plot([], [], marker=MARKERS[verdict], label=LEGEND[verdict], **style_of_mark)
    marker = "<" if mean < shown[0] else ">" if mean > shown[1] else MARKERS[verdict]
    axes.plot(np.clip([mean], *shown), [place], marker=marker, **style_of_mark)
    _annotate(axes, place, mean, low, high)


def _draw_corrected(axes: "Axes", c: Comparison) -> None:
    corrected: dict[str, Any] = dict(c.winner_value)
    value, low, high = (corrected[key] for key in ("value", "low", "high"))
    axes.axvspan(low, high, color=SERIES[0], alpha=0.12, lw=0)
    line: dict[str, Any] = {"color": SERIES[0], "lw": 1.2}
    axes.plot([low, high], [_CORRECTED_OFFSET] * 2, ls=style.DASHES[1], **line)
    axes.plot([value], [_CORRECTED_OFFSET], marker="D", markersize=6, ls="none", markerfacecolor="none", **line)
    _annotate(axes, _CORRECTED_OFFSET, value, low, high, SOFT)


def _draw_test_means(axes: "Axes", c: Comparison, places: dict[str, float]) -> None:
    rows = [row for row in c.held_out.to_pylist() if row["recipe"] in places and np.isfinite(row["test_mean"])]
    if rows:
        axes.plot(
            [row["test_mean"] for row in rows],
            [places[row["recipe"]] for row in rows],
            marker="v",
            markersize=6,
            markerfacecolor="none",
            color=INK,
            ls="none",
            zorder=4,
            label=TEST_MARK,
        )


def _annotate(
    axes: "Axes", place: float, mean: float, low: float | None, high: float | None, colour: str = INK
) -> None:
    """Write the mean and the interval at the right of the axes."""
    interval = between(low, high)
    axes.annotate(
        f"{number(mean)}  {f'({interval})' if interval else '(no interval)'}",
        (1.0, place),
        xycoords=("axes fraction", "data"),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
        color=colour,
    )
