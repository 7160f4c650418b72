"""Which pictures there are, with a caption each; as SVG or PNG files, and as elements of a page."""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.report import charts, layout, numbers, pictures, theme
from orchestrator.summary.comparison import Comparison

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
    several = ranked > pictures.PANELS
    panel = "One panel an optimizer, its best schedule in front" if several else "One panel a recipe, best first"
    optimizers = len(set(c.ranking.column("optimizer").to_pylist()))
    cut = f" ({pictures.PANELS} of {optimizers} optimizers)" if several and optimizers > pictures.PANELS else ""
    named = len(set(c.schedules.column("schedule").to_pylist()))
    some = f"{pictures.SCHEDULES} of {named} schedules. " if named > pictures.SCHEDULES else ""
    lines = (
        f"{panel}{cut}; its number is the rank. Line: mean over seeds; band: lowest to highest seed; dots: the "
        f"same on training data; grey: {'its other schedules' if several else 'the other recipes'}."
    )
    return {
        "forest": f"{first}Final {c.monitor_label}: mean over seeds with 95 % interval. The blue band is the "
        "winner's interval; what is told apart is decided by the paired test, not by overlap.",
        "leaders": f"The first {min(pictures.LEADERS, ranked)} of {ranked} recipes. Line: mean over seeds; "
        "band: lowest to highest seed.",
        "curves": lines,
        "losses": lines,
        "stages": f"Rank of the first {min(pictures.BUMPED, ranked)} recipes at each stage; thick: the "
        "winner, dashed: those that led at some stage.",
        "profile": f"Share of seeds that reached {c.monitor_label} {numbers.number(c.target)} within a multiple "
        "of the fastest recipe's training time; further left and up is better. Grey: recipes that reach it but "
        "are not named.",
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
    for place, grid in enumerate(layout.grids(c)[:MATRICES]):
        name = f"matrix-{place + 1}" if place else "matrix"
        text = f"{grid.title}. Lighter is better. {layout.LEGEND}; · not in the sweep."
        yield Picture(name, text, lambda grid=grid: charts.matrix(c, grid))  # type: ignore[misc]
    yield Picture("stages", words["stages"], lambda: pictures.bump(c))
    yield Picture("profile", words["profile"], lambda: charts.profile(c))
    yield Picture("sensitivity", words["sensitivity"], lambda: charts.sensitivity(c))
    yield Picture("leaders", words["leaders"], lambda: pictures.leaders(c))
    yield Picture("curves", words["curves"], lambda: pictures.curves(c, c.monitor))
    yield Picture("losses", words["losses"], lambda: pictures.curves(c, other))
    yield Picture("schedules", words["schedules"], lambda: pictures.schedules(c))


def files(comparison: Comparison, kind: str) -> dict[str, bytes]:
    """Each picture in a file of its own, by file name; `kind` is "svg" (text as paths) or "png"."""
    write = {"svg": theme.svg, "png": theme.png}[kind]
    result = {}
    with theme.styled():
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
    with theme.styled("none"):
        for picture in every:
            if (figure := picture.make()) is not None:
                result[picture.name] = (theme.inlined(figure, picture.name), picture.caption)
    return result
