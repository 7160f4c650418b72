"""Learning-rate range tests: loss by rate with the suggested rates, in a terminal, as a figure, as JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.lr_range_test import SUGGESTIONS, RangeTestCurve
from orchestrator.report.figures import style
from orchestrator.report.figures.style import FAINT, INK, SERIES, SOFT
from orchestrator.report.number_format import rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKS = {"steepest": "S", "minimum": "M", "valley": "V", "highest": "H"}
_SHOWN_RISE = 2.0
"""The part of a rise above the initial loss that is drawn, in multiples of the fall below it."""


def render(curves: Sequence[RangeTestCurve], console: Console) -> None:
    """Print each curve, and a table of the rates that they suggest."""
    for curve in curves:
        console.print(Text(curve.label, style="bold").append(": loss against learning rate", style="not bold"))
        if len(curve.loss):
            plot = _line_plot(curve, min(console.width, 100))
            console.print(plot, highlight=False, markup=False, soft_wrap=True)
        if curve.reading.trouble:
            console.print(f"no usable region: {curve.reading.trouble}\n", highlight=False, markup=False)
    console.print(_table(curves))
    for name, meaning in SUGGESTIONS.items():
        console.print(f"{MARKS[name]} {name}: {meaning}", style="dim", highlight=False)
    console.print("* what `auto` takes; range_test: {suggestion: …} chooses another", style="dim", markup=False)


def _table(curves: Sequence[RangeTestCurve]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("range test", *SUGGESTIONS, "steps", "seconds"):
        table.add_column(name, justify="left" if name == "range test" else "right", no_wrap=True)
    for curve in curves:
        reading = curve.reading
        suggestions = [
            f"{rate(reading.suggestions[name])}{'*' if name == curve.suggestion else ' '}"
            if reading.suggestions
            else "none "
            for name in SUGGESTIONS
        ]
        steps = f"{len(curve.loss)} {curve.unit}s"
        table.add_row(Text(curve.label), *suggestions, steps, f"{curve.seconds:.1f}")
    return table


def _highest_loss(curve: RangeTestCurve) -> float:
    """The highest loss that is drawn: a high loss at the end would flatten the fall that suggests a rate."""
    initial = float(np.mean(curve.loss[: max(len(curve.loss) // 10, 1)]))
    fall = max(initial - float(np.min(curve.reading.smoothed)), 0.05 * initial)
    return min(float(np.max(curve.loss)), initial + _SHOWN_RISE * fall)


def _line_plot(curve: RangeTestCurve, width: int) -> str:
    """The smoothed curve as lines of text without colours; each suggestion is marked by its letter."""
    import plotext

    rates, smoothed = np.log10(curve.learning_rate), curve.reading.smoothed
    top = _highest_loss(curve)
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plot_size(width, 16)
    plotext.plot(rates.tolist(), np.minimum(smoothed, top).tolist(), marker="braille")
    for name, suggestion in curve.reading.suggestions.items():
        loss = float(np.interp(np.log10(suggestion), rates, smoothed))
        plotext.scatter([float(np.log10(suggestion))], [min(loss, top)], marker=MARKS[name])
    decades = range(int(np.ceil(rates[0] - 1e-6)), int(np.floor(rates[-1] + 1e-6)) + 1)
    plotext.xticks(list(decades), [f"1e{k}" for k in decades])
    plotext.xlabel("learning rate")
    text: str = plotext.uncolorize(plotext.build())
    return "\n".join(line.rstrip() for line in text.splitlines())


def as_json(sweep: str, curves: Sequence[RangeTestCurve]) -> dict[str, Any]:
    """`sweep lr-find --json`: curves, suggested rates by name (None without a usable region), the lowest loss."""
    return {
        "sweep": sweep,
        "range_tests": [
            {
                "label": curve.label,
                "unit": curve.unit,
                "suggestions": dict(curve.reading.suggestions) or None,
                "auto": curve.reading.suggestions.get(curve.suggestion),
                "lowest": curve.reading.lowest,
                "trouble": curve.reading.trouble,
                "seconds": curve.seconds,
                "learning_rate": curve.learning_rate.tolist(),
                "loss": curve.loss.tolist(),
                "smoothed": curve.reading.smoothed.tolist(),
            }
            for curve in curves
        ],
    }


def picture(curves: Sequence[RangeTestCurve], kind: str) -> bytes:
    """A figure with one panel per curve, as "svg" or "png"."""
    with style.context():
        return {"svg": style.svg, "png": style.png}[kind](_figure(curves))


def _figure(curves: Sequence[RangeTestCurve]) -> "Figure":
    across = min(len(curves), 2)
    figure, grid = style.panels(len(curves), across, 4.0)
    for axes, curve in zip(grid, curves, strict=True):
        axes.plot(curve.learning_rate, curve.loss, color=FAINT, lw=1.0, label=f"loss of each {curve.unit}")
        axes.plot(curve.learning_rate, curve.reading.smoothed, color=SERIES[0], label="smoothed")
        axes.set_xscale("log")
        if len(curve.loss):
            low, high = float(np.min(curve.loss)), _highest_loss(curve)
            height = max(high - low, 1e-3 * abs(high), 1e-9)
            axes.set_ylim(low - 0.05 * height, high + 0.1 * height)
        for position, (name, suggestion) in enumerate(curve.reading.suggestions.items()):
            is_auto = name == curve.suggestion
            colour, width = (INK, 1.6) if is_auto else (SOFT, 0.9)
            label = f"{name} {suggestion:.2g}{' (auto)' if is_auto else ''}"
            axes.axvline(suggestion, color=colour, lw=width, ls=style.DASHES[position + 1], label=label)
        title = f"{curve.label}: no usable region" if curve.reading.trouble else curve.label
        style.plain_log(axes.xaxis)
        axes.set_title(title, loc="left")
        axes.set_xlabel("learning rate")
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), ncols=3, fontsize=8)
    for axes in grid[::across]:
        axes.set_ylabel("training loss")
    return figure
