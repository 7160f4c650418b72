"""A race as a table and a sentence: who may still be the best, who left, after how many seeds and why."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from orchestrator.analysis.comparison import Column, recipe_columns, table
from orchestrator.analysis.observations import RecipeLabel, TrialArrays


@dataclass(frozen=True)
class Leaving:
    """A recipe that left: after how many seeds, why, and which recipe is better ("" where none is named)."""

    seeds: int
    reason: str
    better: str = ""


@dataclass(frozen=True, kw_only=True)
class RaceResult:
    """Where a race stands.

    seeds: the number of seeds after which the last decision was made, 0 before the first.
    inside: the number of recipes that may still be the best. left: how each other one left.
    ended: why the race is over; empty while it goes on.
    """

    seeds: int
    inside: int
    left: Mapping[RecipeLabel, Leaving]
    ended: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """How far the race is, and why it is over."""
        verb = "is" if self.inside == 1 else "are"
        recipes = f"{self.inside} of {self.inside + len(self.left)} recipes {verb} in it"
        if not self.ended:
            before = f"after {self.seeds} seeds " if self.seeds else ""
            return f"The race goes on: {before}{recipes}."
        return f"The race is over after {self.seeds} seeds, {recipes}: {', '.join(self.ended)}."


def race_table(arrays: TrialArrays, race: RaceResult | None) -> pa.Table:
    """One row per recipe, those in the race first, then the ones that left last; no rows without a race."""
    left = race.left if race else {}
    order = sorted(range(len(arrays.recipes)), key=lambda r: _leaving(left, arrays.recipes[r])) if race else []
    recipes = [arrays.recipes[r] for r in order]
    columns = recipe_columns(recipes)
    columns |= {
        "in_race": Column(pa.array([recipe not in left for recipe in recipes], pa.bool_()), "in the race"),
        "left_after": Column(
            pa.array([left[r].seeds if r in left else None for r in recipes], pa.int64()), "left after", "seeds"
        ),
        "reason": Column(pa.array([left[r].reason if r in left else "" for r in recipes], pa.string())),
        "better": Column(
            pa.array([left[r].better if r in left else "" for r in recipes], pa.string()),
            "the recipe that is better",
        ),
    }
    return table("The race", columns)


def _leaving(left: Mapping[RecipeLabel, Leaving], recipe: RecipeLabel) -> tuple[bool, int]:
    return (recipe in left, -left[recipe].seeds if recipe in left else 0)
