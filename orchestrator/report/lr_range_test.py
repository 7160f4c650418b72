"""Learning-rate range tests: loss against rate and what it suggests, in a terminal, as a picture, as JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.lr_range_test import SUGGESTIONS, Curve
from orchestrator.report.figures import style
from orchestrator.report.figures.style import FAINT, INK, SERIES, SOFT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKS = {"steepest": "S", "minimum": "M", "valley": "V", "highest": "H"}
_ABOVE = 2.0
"""Losses that rise above the first level by more than so many times the fall are cut off: the fall matters."""


def render(curves: Sequence[Curve], console: Console) -> None:
    """Print each curve and what it suggests."""
    for curve in curves:
        console.print(Text(curve.label, style="bold").append(": loss against learning rate", style="not bold"))
        if len(curve.loss):
            console.print(_drawn(curve, min(console.width, 100)), highlight=False, markup=False, soft_wrap=True)
        if curve.reading.trouble:
            console.print(f"no usable region: {curve.reading.trouble}\n", highlight=False, markup=False)
    console.print(_table(curves))
    for name, meaning in SUGGESTIONS.items():
        console.print(f"{MARKS[name]} {name}: {meaning}", style="dim", highlight=False)
    console.print("* what `auto` takes; range_test: {suggestion: …} chooses another", style="dim", markup=False)


def _table(curves: Sequence[Curve]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("range test", *SUGGESTIONS, "steps", "seconds"):
        table.add_column(name, justify="left" if name == "range test" else "right", no_wrap=True)
    for curve in curves:
        reading = curve.reading
        found = [
            f"{reading.suggestions[name]:.3g}{'*' if name == curve.suggestion else ' '}"
            if reading.suggestions
            else "none "
            for name in SUGGESTIONS
        ]
        steps = f"{len(curve.loss)} {curve.unit}s"
        table.add_row(Text(curve.label), *found, steps, f"{curve.seconds:.1f}")
    return table


def _shown(curve: Curve) -> float:
    """The highest loss that is drawn."""
    beginning = float(np.mean(curve.loss[: max(len(curve.loss) // 10, 1)]))
    fall = max(beginning - float(np.min(curve.reading.smoothed)), 0.05 * beginning)
    return min(float(np.max(curve.loss)), beginning + _ABOVE * fall)


def _drawn(curve: Curve, width: int) -> str:
    """The smoothed curve in lines of text, each suggestion as its letter, no colours."""
    import plotext

    rates, smoothed = np.log10(curve.learning_rate), curve.reading.smoothed
    top = _shown(curve)
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plot_size(width, 16)
    plotext.plot(rates.tolist(), np.minimum(smoothed, top).tolist(), marker="braille")
    for name, rate in curve.reading.suggestions.items():
        loss = float(np.interp(np.log10(rate), rates, smoothed))
        plotext.scatter([float(np.log10(rate))], [min(loss, top)], marker=MARKS[name])
    decades = range(int(np.ceil(rates[0] - 1e-6)), int(np.floor(rates[-1] + 1e-6)) + 1)
    plotext.xticks(list(decades), [f"1e{k}" for k in decades])
    plotext.xlabel("learning rate")
    text: str = plotext.uncolorize(plotext.build())
    return "\n".join(line.rstrip() for line in text.splitlines())


def as_json(sweep: str, curves: Sequence[Curve]) -> dict[str, Any]:
    """`sweep lr-find --json`: curves, suggestions by name (None where there is no usable region), the lowest."""
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


def picture(curves: Sequence[Curve], kind: str) -> bytes:
    """One panel a curve, as "svg" or "png"."""
    with style.styled():
        return {"svg": style.svg, "png": style.png}[kind](_figure(curves))


def _figure(curves: Sequence[Curve]) -> "Figure":
    across = min(len(curves), 2)
    figure, grid = style.panels(len(curves), across, 4.0)
    for axes, curve in zip(grid, curves, strict=True):
        axes.plot(curve.learning_rate, curve.loss, color=FAINT, lw=1.0, label=f"loss of each {curve.unit}")
        axes.plot(curve.learning_rate, curve.reading.smoothed, color=SERIES[0], label="smoothed")
        axes.set_xscale("log")
        if len(curve.loss):
            low, high = float(np.min(curve.loss)), _shown(curve)
            room = max(high - low, 1e-3 * abs(high), 1e-9)
            axes.set_ylim(low - 0.05 * room, high + 0.1 * room)
        for place, (name, rate) in enumerate(curve.reading.suggestions.items()):
            chosen = name == curve.suggestion
            colour, width = (INK, 1.6) if chosen else (SOFT, 0.9)
            label = f"{name} {rate:.2g}{' (auto)' if chosen else ''}"
            axes.axvline(rate, color=colour, lw=width, ls=style.DASHES[place + 1], label=label)
        title = f"{curve.label}: no usable region" if curve.reading.trouble else curve.label
        style.plain_log(axes.xaxis)
        axes.set_title(title, loc="left")
        axes.set_xlabel("learning rate")
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), ncols=3, fontsize=8)
    for axes in grid[::across]:
        axes.set_ylabel("training loss")
    return figure
