"""The figures of a comparison with their captions, as SVG or PNG files and as elements of a page."""

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.analysis.comparison import Comparison
from orchestrator.analysis.ranking import NO_RESULT, NOT_LEARNED, UNTESTED
from orchestrator.report.figures import comparison as charts
from orchestrator.report.figures import forest, learning_curves, pairs, style
from orchestrator.report.marks import legend
from orchestrator.report.matrix import matrices
from orchestrator.report.number_format import chance, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_MATRICES = 6


class Drawing(NamedTuple):
    """A name, a caption, and a function that makes the figure; it gives None without data for one."""

    name: str
    caption: str
    make: "Callable[[], Figure | None]"


def _captions(comparison: Comparison) -> dict[str, str]:
    ranked = sum(rank is not None for rank in comparison.ranking.column("rank").to_pylist())
    by_optimizer = ranked > learning_curves.MAX_PANELS
    panel = "One panel a recipe, best first"
    if by_optimizer:
        panel = "One panel an optimizer, its best schedule in front"
    optimizers = len(set(comparison.ranking.column("optimizer").to_pylist()))
    panels = min(learning_curves.MAX_PANELS, optimizers)
    panel_note = f" ({panels} of {optimizers} optimizers)" if by_optimizer and panels < optimizers else ""
    schedules = len(set(comparison.schedules.column("schedule").to_pylist()))
    schedule_panels = min(learning_curves.MAX_SCHEDULES, schedules)
    schedule_note = f"{schedule_panels} of {schedules} schedules. " if schedule_panels < schedules else ""
    lines = (
        f"{panel}{panel_note}; its number is the rank. Line: mean over seeds; band: lowest to highest seed; dots: "
        f"the same on training data; grey: {'its other schedules' if by_optimizer else 'the other recipes'}."
    )
    metric = comparison.monitor_label
    diverged_note = " Diverged seeds are left out." if any(comparison.ranking["diverged"].to_pylist()) else ""
    wins_note = _first(pairs.MAX_WINS, comparison.wins.column("recipe").to_pylist(), ranked)
    target = f"{metric} {number(comparison.target)}"
    leaders = min(learning_curves.MAX_LEADERS, ranked)
    rank_lines = min(learning_curves.MAX_RANK_LINES, ranked)
    return {
        "forest": _forest_caption(comparison),
        "horizons": charts.horizon_caption(comparison),
        "wins": f"{wins_note}Each number is the probability that the recipe of the row beats that of the column "
        f"on a new seed. Outlined and bold: at least {pairs.MEANINGFUL:g}, from which on a difference matters "
        f"(Bouthillier et al. 2021). Lighter is better; · not tested.{diverged_note}",
        "critical-difference": _rank_caption(comparison),
        "leaders": f"The first {leaders} of {ranked} recipes. Line: mean over seeds; band: lowest to highest "
        "seed.",
        "curves": lines,
        "losses": lines,
        "stages": f"Rank of the first {rank_lines} recipes at each stage; thick: the winner, dashed: those that "
        "led at some stage.",
        "profile": f"Share of seeds that reached {target} within a multiple of the fastest recipe's training "
        "time; further left and up is better. Grey: recipes that reach it but are not named.",
        "sensitivity": f"Final {metric} against peak learning rate, mean over seeds with 95 % interval: a "
        "flat line means that a wrong rate costs little.",
        "schedules": f"{schedule_note}The learning rate at the first step of each epoch, logarithmic; zero is not "
        "drawn. Blue: the best ranked optimizer that uses the schedule; grey: the others.",
    }


def _first(shown: int, recipes: Collection[str], ranked: int) -> str:
    """The sentence that a figure shows only the first recipes; "" if it shows each of `recipes`."""
    return f"The first {shown} of {ranked} recipes. " if len(set(recipes)) > shown else ""


def _forest_caption(comparison: Comparison) -> str:
    rows = forest.drawn_rows(comparison)
    verdicts = [row["verdict"] for row in comparison.ranking.to_pylist()]
    missing = [(forest.LEGEND[verdict], verdicts.count(verdict)) for verdict in (NOT_LEARNED, NO_RESULT)]
    drawn = rows[: forest.MAX_RECIPES]
    sentences = [
        _first(forest.MAX_RECIPES, [row["recipe"] for row in rows], len(rows)).strip(),
        f"Final {comparison.monitor_label}: mean over seeds with 95 % interval.",
        "Grey: ruled out as the best, by paired tests and not by the overlap of intervals; blue: not ruled out."
        if any(not row["in_set"] for row in drawn)
        else "",
        "Orange crosses: not tested." if any(row["verdict"] == UNTESTED for row in drawn) else "",
        f"Hollow diamond and blue band: the winner's value and interval, {forest.CORRECTED}."
        if forest.has_corrected_value(comparison)
        else "",
        "Arrows and intervals that end at the edge go on: their numbers are at the right."
        if forest.is_cut(comparison)
        else "",
        "Hollow triangles: means on test images." if comparison.held_out.num_rows else "",
        *(f"Not drawn: {number_of} that {text}." for text, number_of in missing if number_of),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _rank_caption(comparison: Comparison) -> str:
    rows = comparison.seed_ranks.to_pylist()
    if not rows:
        return ""
    note = _first(pairs.MAX_RANKS, [row["recipe"] for row in rows], len(rows))
    return (
        f"{note}Mean rank over {rows[0]['n']} seeds; 1 is best. A thick bar joins recipes whose mean ranks "
        "differ by less than the critical difference: they are not told apart (Nemenyi's test; Demšar 2006). "
        f"That any recipes differ: p {chance(rows[0]['friedman_p'])} (Friedman's test)."
    )


def drawings(comparison: Comparison) -> Iterator[Drawing]:
    """Every figure that the comparison may have, in the order of the questions."""
    captions = _captions(comparison)
    other = "val_loss" if comparison.monitor != "val_loss" else "val_accuracy"
    functions: dict[str, Callable[[Comparison], Figure | None]] = {
        "stages": learning_curves.rank_lines,
        "profile": charts.profile,
        "sensitivity": charts.sensitivity,
        "leaders": learning_curves.leaders,
        "curves": lambda comparison: learning_curves.curves(comparison, comparison.monitor),
        "losses": lambda comparison: learning_curves.curves(comparison, other),
        "schedules": learning_curves.schedules,
    }
    answers: dict[str, Callable[[Comparison], Figure | None]] = {
        "forest": forest.forest,
        "horizons": charts.horizons,
        "wins": pairs.wins,
        "critical-difference": pairs.critical_difference,
    }
    for name, function in answers.items():
        yield Drawing(name, captions[name], partial(function, comparison))
    for position, matrix in enumerate(matrices(comparison)[:MAX_MATRICES]):
        name = f"matrix-{position + 1}" if position else "matrix"
        caption = f"{matrix.title}. Lighter is better. {legend(comparison)}; · not in the sweep."
        yield Drawing(name, caption, partial(charts.heat_map, matrix))
    for name, function in functions.items():
        yield Drawing(name, captions[name], partial(function, comparison))


def svg_files(comparison: Comparison) -> dict[str, bytes]:
    """Each figure as one SVG file, by file name; its texts are paths."""
    return _files(comparison, "svg", style.svg)


def png_files(comparison: Comparison) -> dict[str, bytes]:
    """Each figure as one PNG file, by file name."""
    return _files(comparison, "png", style.png)


def _files(comparison: Comparison, suffix: str, write: "Callable[[Figure], bytes]") -> dict[str, bytes]:
    result = {}
    with style.context():
        for drawing in drawings(comparison):
            if (figure := drawing.make()) is not None:
                result[f"{drawing.name}.{suffix}"] = write(figure)
    return result


def inline(comparison: Comparison, names: Collection[str] | None = None) -> dict[str, tuple[str, str]]:
    """The figures as `elements` gives them: all, or those in `names`."""
    return elements(drawing for drawing in drawings(comparison) if names is None or drawing.name in names)


def elements(figures: Iterable[Drawing]) -> dict[str, tuple[str, str]]:
    """Each figure as an <svg> element in the colours of the page, with its caption, by name."""
    result = {}
    with style.context("none"):
        for drawing in figures:
            if (figure := drawing.make()) is not None:
                result[drawing.name] = (style.svg_element(figure, drawing.name), drawing.caption)
    return result
