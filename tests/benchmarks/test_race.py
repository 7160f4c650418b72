"""How often a race drops the best recipe, and what it saves, by simulation: `pytest -m benchmark -s`.

The environment variable SIMULATIONS is the number of simulated races a row, 10,000 by default; PROCESSES is the
number of processes, 2 by default. Each simulation has its own fixed seed, so the table is the same every time.
"""

import pytest

from tests.benchmarks.simulated_races import RaceRow, RaceSummary, simulate
from tests.benchmarks.simulated_recipes import (
    DIVERGING,
    HEAVY,
    NORMAL,
    SPREADS,
    TIES,
    UNEQUAL,
    Row,
    Share,
)
from tests.benchmarks.test_coverage import PROCESSES, SIMULATIONS

RECIPES = (5, 20, 60)
TABLES = {
    "10 seeds": [
        RaceRow(Row(kind, n, 10), spread)
        for kind in (NORMAL, HEAVY, UNEQUAL, TIES, DIVERGING)
        for n in RECIPES
        for spread in SPREADS
    ],
    "30 seeds": [RaceRow(Row(NORMAL, n, 30), spread) for n in (5, 20) for spread in SPREADS],
}
MOST_DROPPED = 0.05
SAVING = RaceRow(Row(NORMAL, 60, 10), 2.0)
"""A grid on which a race has to save half of the trials."""
EXPLANATION = """
{simulations} simulated races a row: 3 seeds for each recipe, then more for those that may be the best, confidence
95 %. spread: of the true means, in seed deviations. A seed moves all recipes by 0, 1 or 5 deviations in turn.
dropped: how often the best recipe left; at spread 0, how often one that is as good as all others did.
used: the share of the grid's trials that ran. in: the recipes that were left at the end.
"""


def line(of: RaceSummary) -> str:
    """The row of the printed table."""
    return f"{of.row!s:<46}{of.dropped!s:>8}{of.used:>8.2f}{of.inside:>7.1f}"


def too_often(share: Share) -> bool:
    """Whether a share of the races is above 5 % by more than chance; a share of none is."""
    return not share.value <= MOST_DROPPED + 2 * share.error


def test_a_share_that_is_too_high_is_seen() -> None:
    assert too_often(Share(0.06, 0.002))
    assert not too_often(Share(0.053, 0.002))
    assert too_often(Share(float("nan"), float("nan")))


@pytest.mark.benchmark
@pytest.mark.parametrize("rows", TABLES.values(), ids=TABLES)
def test_the_best_stays_and_half_of_the_trials_are_saved(
    rows: list[RaceRow], capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = []
    with capsys.disabled():
        print(EXPLANATION.format(simulations=f"{SIMULATIONS:,}"))
        print(f"{'':<46}{'dropped':>8}{'used':>8}{'in':>7}")
        for summary in simulate(rows, SIMULATIONS, PROCESSES):
            print(line(summary), flush=True)
            if too_often(summary.dropped):
                wrong.append(f"{summary.row}: dropped {summary.dropped} +- {summary.dropped.error:.3f}")
            if summary.row == SAVING and summary.used > 0.5:
                wrong.append(f"{summary.row}: {summary.used:.2f} of the trials are used")
    assert wrong == []
