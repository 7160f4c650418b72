"""A plan as one page that needs nothing else: its counts, every schedule's curve, every trial."""

from collections.abc import Sequence

from orchestrator.report import html, tables
from orchestrator.report.figures import catalogue, schedules

KIND = (
    "A plan: what would run. A recipe is an optimizer with a learning-rate schedule; it is trained from scratch "
    "once for each seed, and no epoch that is on record is trained again."
)


def render(
    sweep: str,
    facts: Sequence[str],
    tiles: Sequence[tuple[str, str, str]],
    drawn: Sequence[schedules.Curve],
    trials: tables.TextTable,
) -> str:
    """The whole page of the plan of `sweep`: facts as sentences, tiles as html.page has them."""
    name = "schedules"
    pictures = catalogue.elements(
        [catalogue.Picture(name, schedules.caption(drawn), lambda: schedules.schedules(drawn))]
    )
    sections = [
        (name, "Every learning rate", html.figure(pictures, name)),
        (trials.name, trials.title, html.table(trials)),
    ]
    return html.page(sweep, KIND, facts, tiles, sections)
