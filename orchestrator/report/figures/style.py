"""The style of all figures, and figures as bytes: equal figures have equal bytes."""

import io
import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours for nothing else: a page replaces them by CSS variables, so that one drawing fits light and dark pages.
# In files they are dark grey, grey and light grey on white.
INK, SOFT, FAINT = "#1a1a1b", "#5a5a5b", "#c4c4c5"
# After Okabe and Ito, "Color universal design" (2008), the lighter colours darkened for contrast on white. Lines
# differ in dashes too, so that no line is identified by its colour alone.
SERIES = ("#0072b2", "#d55e00", "#008a64", "#a8478a", "#8a6d00", "#4d4dbf")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (9, 2)), (0, (3, 1)))
VARIABLES = {INK: "--ink", SOFT: "--soft", FAINT: "--faint"} | {c: f"--series-{i}" for i, c in enumerate(SERIES)}
WIDTH = 11.0
_FONTS = ["DejaVu Sans", "Verdana", "Arial", "sans-serif"]


def _settings(text: str) -> Any:
    return {
        "font.family": "sans-serif",
        "font.sans-serif": _FONTS,
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.labelsize": 10,
        "axes.edgecolor": SOFT,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": FAINT,
        "grid.linewidth": 0.6,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "text.color": INK,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "svg.hashsalt": "sweep",
        "svg.fonttype": text,
        # A recipe called "$x$" is a name, not a formula.
        "text.parse_math": False,
    }


def context(text: str = "path") -> Any:
    """The context for making and saving figures; `text` is matplotlib's svg.fonttype, "path" or "none"."""
    import matplotlib

    return matplotlib.rc_context(_settings(text))


def panels(count: int, across: int, height: float, **options: Any) -> tuple["Figure", "list[Axes]"]:
    """A figure of `count` panels in rows of `across`, each `height` inches high."""
    from matplotlib.figure import Figure

    rows = -(-count // across)
    figure = Figure(figsize=(WIDTH, rows * height + 0.3), layout="constrained")
    grid = figure.subplots(rows, across, squeeze=False, **options).ravel().tolist()
    for axes in grid[count:]:
        axes.set_visible(False)
    for position, axes in enumerate(grid[:count]):
        is_lowest = position + across >= count
        axes.tick_params(labelbottom=is_lowest or not options.get("sharex"))
        axes.grid(True, axis="y")
    return figure, grid[:count]


def single(height: float, width: float = WIDTH) -> tuple["Figure", "Axes"]:
    """A figure of one panel."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(True)
    return figure, axes


def plain_log(axis: Any) -> None:
    """A logarithmic axis with numbers like 0.001: powers of ten; over a short range 2 and 5 times them too."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(base=10, subs=(1.0,) if high >= 100 * low else (1.0, 2.0, 5.0), numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def folded(text: str, width: int) -> str:
    """The text with each of its lines broken at spaces to at most `width` characters.

    >>> folded("sgd + cosine, momentum=0.9", 16).splitlines()
    ['sgd + cosine,', 'momentum=0.9']
    """
    return "\n".join(textwrap.fill(line, width) for line in text.split("\n"))


def row_height(labels: Sequence[str]) -> float:
    """The height in inches of rows that these labels of one or more lines stand beside."""
    return 0.15 + 0.15 * max(label.count("\n") + 1 for label in labels)


def svg(figure: "Figure") -> bytes:
    """The figure as SVG, without a date."""
    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, transparent=False)
    return out.getvalue()


def png(figure: "Figure") -> bytes:
    """The figure as PNG, 144 dots per inch."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=144, metadata={"Software": None})
    return out.getvalue()


def svg_element(figure: "Figure", prefix: str) -> str:
    """The figure as an <svg> element for a page: transparent, with CSS variables, its ids after `prefix`."""
    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = out.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", text)
    for colour, name in VARIABLES.items():
        text = text.replace(colour, f"var({name})")
    return text


def split(table: pa.Table, key: str) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """Columns as arrays, by the values of `key` in order of appearance; null and infinite numbers are NaN."""
    columns = {}
    for name in table.column_names:
        values = table.column(name).to_numpy(zero_copy_only=False)
        columns[name] = np.where(np.isfinite(values), values, np.nan) if values.dtype.kind == "f" else values
    names, group = np.unique(columns[key].astype(str), return_inverse=True)
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group, minlength=len(names)))
    blocks = np.split(order, ends[:-1]) if len(names) else []
    by_name = {str(names[i]): {c: v[rows] for c, v in columns.items()} for i, rows in enumerate(blocks)}
    return {name: by_name[name] for name in dict.fromkeys(columns[key].tolist())}
