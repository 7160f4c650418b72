"""A plan as one page without further files: its counts, a figure of its schedules, every trial."""

from collections.abc import Sequence

from orchestrator.report import html
from orchestrator.report.figures import catalogue, schedules
from orchestrator.report.text_table import TextTable

KIND = (
    "A plan: what would run. A recipe is an optimizer with a learning-rate schedule; it is trained from scratch "
    "once for each seed, and no epoch that is on record is trained again."
)


def render(
    sweep: str,
    facts: Sequence[str],
    tiles: Sequence[tuple[str, str, str]],
    plots: Sequence[schedules.SchedulePlot],
    trials: TextTable,
) -> str:
    """The page of the plan of `sweep`; `facts` are sentences, `tiles` are those of `html.page`."""
    name = "schedules"
    figures = catalogue.elements(
        [catalogue.Drawing(name, schedules.caption(plots), lambda: schedules.schedules(plots))]
    )
    sections = [
        (name, "Every learning rate", html.figure(figures, name)),
        (trials.name, trials.title, html.table(trials)),
    ]
    return html.page(sweep, KIND, facts, tiles, sections)
