"""Races over recipes whose true means are known, decided as a run decides them."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from multiprocessing import get_context

import numpy as np

from orchestrator.planning.race import Finals, Standing
from orchestrator.spec.race import Race
from tests.benchmarks.simulated_recipes import SPREADS, Row, Share, draw

FIRST = 3


@dataclass(frozen=True)
class RaceRow:
    """Recipes of a kind, with up to so many seeds as `recipes.seeds`, and the spread of their true means."""

    recipes: Row
    spread: float

    def __str__(self) -> str:
        return f"{self.recipes!s:<32} spread {self.spread:<4g}"


@dataclass(frozen=True)
class RaceSummary:
    """The simulations of one row.

    dropped: how often the best recipe left; without a spread, how often recipe 0 did, which is as good as all.
    used: the share of the grid's trials that a race asks for, on average. inside: the recipes that were in at the
    end, on average.
    """

    row: RaceRow
    dropped: Share
    used: float
    inside: float


def run(row: RaceRow, number: int) -> tuple[float, float, float]:
    """Simulation `number`: whether the best was dropped, the share of trials used, and the recipes left in."""
    scores = draw(row.recipes, number * len(SPREADS) + SPREADS.index(row.spread)).scores
    # A diverged seed has ended, without a score.
    finals = Finals(
        scores=scores, finished=np.ones(scores.shape, np.bool_), failed=np.zeros(scores.shape, np.bool_)
    )
    standing = Standing(Race(first=FIRST, most=row.recipes.seeds), None, finals)
    standing.decide()
    return float(0 in standing.left), sum(standing.admitted) / scores.size, len(scores) - len(standing.left)


def _batch(task: tuple[RaceRow, range]) -> list[tuple[float, float, float]]:
    row, numbers = task
    return [run(row, number) for number in numbers]


def simulate(rows: Iterable[RaceRow], simulations: int, processes: int) -> Iterator[RaceSummary]:
    """The rows in turn, each as soon as it is complete."""
    with get_context("spawn").Pool(processes) as pool:
        for row in rows:
            size = math.ceil(simulations / (4 * processes))
            parts = [range(start, min(start + size, simulations)) for start in range(0, simulations, size)]
            dropped, used, inside = np.array(
                list(chain.from_iterable(pool.imap(_batch, [(row, part) for part in parts])))
            ).T
            share = float(dropped.mean())
            error = math.sqrt(share * (1 - share) / simulations)
            yield RaceSummary(row, Share(share, error), float(used.mean()), float(inside.mean()))
