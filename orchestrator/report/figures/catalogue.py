"""Which pictures there are, with a caption each; as SVG or PNG files, and as elements of a page."""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.analysis.comparison import Comparison
from orchestrator.report import number_format, tables
from orchestrator.report.figures import comparison as charts
from orchestrator.report.figures import learning_curves, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MATRICES = 6


class Picture(NamedTuple):
    """A drawing that can be made (`make` gives None where there is nothing to draw) and what it shows."""

    name: str
    caption: str
    make: "Callable[[], Figure | None]"


def _captions(c: Comparison) -> dict[str, str]:
    ranked = sum(rank is not None for rank in c.ranking.column("rank").to_pylist())
    first = f"The first {charts.SHOWN} of {ranked} recipes. " if ranked > charts.SHOWN else ""
    several = ranked > learning_curves.PANELS
    panel = "One panel an optimizer, its best schedule in front" if several else "One panel a recipe, best first"
    optimizers = len(set(c.ranking.column("optimizer").to_pylist()))
    cut = (
        f" ({learning_curves.PANELS} of {optimizers} optimizers)"
        if several and optimizers > learning_curves.PANELS
        else ""
    )
    named = len(set(c.schedules.column("schedule").to_pylist()))
    some = f"{learning_curves.SCHEDULES} of {named} schedules. " if named > learning_curves.SCHEDULES else ""
    lines = (
        f"{panel}{cut}; its number is the rank. Line: mean over seeds; band: lowest to highest seed; dots: the "
        f"same on training data; grey: {'its other schedules' if several else 'the other recipes'}."
    )
    return {
        "forest": f"{first}Final {c.monitor_label}: mean over seeds with 95 % interval. The blue band is the "
        "winner's interval; what is told apart is decided by the paired test, not by overlap.",
        "leaders": f"The first {min(learning_curves.LEADERS, ranked)} of {ranked} recipes. Line: mean over seeds; "
        "band: lowest to highest seed.",
        "curves": lines,
        "losses": lines,
        "stages": f"Rank of the first {min(learning_curves.BUMPED, ranked)} recipes at each stage; thick: the "
        "winner, dashed: those that led at some stage.",
        "profile": f"Share of seeds that reached {c.monitor_label} {number_format.number(c.target)} within a "
        "multiple of the fastest recipe's training time; further left and up is better. Grey: recipes that "
        "reach it but are not named.",
        "sensitivity": f"Final {c.monitor_label} against peak learning rate, mean over seeds with 95 % "
        "interval: a flat line forgives a wrong rate.",
        "schedules": f"{some}The learning rate at the first step of each epoch, logarithmic; zero is not "
        "drawn. Blue: the best ranked optimizer that uses the schedule; grey: the others.",
    }


def pictures_of(c: Comparison) -> Iterator[Picture]:
    """Every picture that the comparison may have, in the order of the questions."""
    words = _captions(c)
    other = "val_loss" if c.monitor != "val_loss" else "val_accuracy"
    yield Picture("forest", words["forest"], lambda: charts.forest(c))
    for place, grid in enumerate(tables.grids(c)[:MATRICES]):
        name = f"matrix-{place + 1}" if place else "matrix"
        text = f"{grid.title}. Lighter is better. {tables.LEGEND}; · not in the sweep."
        yield Picture(name, text, lambda grid=grid: charts.matrix(c, grid))  # type: ignore[misc]
    yield Picture("stages", words["stages"], lambda: learning_curves.bump(c))
    yield Picture("profile", words["profile"], lambda: charts.profile(c))
    yield Picture("sensitivity", words["sensitivity"], lambda: charts.sensitivity(c))
    yield Picture("leaders", words["leaders"], lambda: learning_curves.leaders(c))
    yield Picture("curves", words["curves"], lambda: learning_curves.curves(c, c.monitor))
    yield Picture("losses", words["losses"], lambda: learning_curves.curves(c, other))
    yield Picture("schedules", words["schedules"], lambda: learning_curves.schedules(c))


def files(comparison: Comparison, kind: str) -> dict[str, bytes]:
    """Each picture in a file of its own, by file name; `kind` is "svg" (text as paths) or "png"."""
    write = {"svg": style.svg, "png": style.png}[kind]
    result = {}
    with style.styled():
        for picture in pictures_of(comparison):
            if (figure := picture.make()) is not None:
                result[f"{picture.name}.{kind}"] = write(figure)
    return result


def inline(comparison: Comparison, only: Collection[str] | None = None) -> dict[str, tuple[str, str]]:
    """Each picture (or those in `only`) as an <svg> that takes the page's colours, with its caption, by name."""
    return elements(picture for picture in pictures_of(comparison) if only is None or picture.name in only)


def elements(every: Iterable[Picture]) -> dict[str, tuple[str, str]]:
    """Those of the pictures that there are as <svg> elements, with their captions, by name."""
    result = {}
    with style.styled("none"):
        for picture in every:
            if (figure := picture.make()) is not None:
                result[picture.name] = (style.inlined(figure, picture.name), picture.caption)
    return result
