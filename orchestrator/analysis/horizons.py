"""The best recipe at each training length: a ranking and a confidence set among the recipes of that length."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from orchestrator.analysis.comparison import Column, recipe_columns, table
from orchestrator.analysis.observations import METRICS, RecipeLabel, TrialArrays
from orchestrator.analysis.race import Leaving
from orchestrator.analysis.ranking import Ranking, rank_recipes

AXIS = "epochs"
"""The setting that tells the training lengths apart."""


class Horizon(NamedTuple):
    """The trials of one training length, `epochs`, and the ranking of their recipes among themselves."""

    epochs: int
    arrays: TrialArrays
    ranking: Ranking


def horizons(
    arrays: TrialArrays,
    monitor: str,
    sign: int,
    level: float,
    equivalence: float | None,
    left: Mapping[RecipeLabel, Leaving] | None = None,
) -> tuple[Horizon, ...]:
    """Each training length with its ranking, the shortest first; none where the recipes have no axis of lengths.

    `ranking.rank_recipes` has the rules, also for recipes that `left` a race. A recipe with epochs of its own
    counts at its length.
    """
    lengths = {dict(recipe.settings).get(AXIS) for recipe in arrays.recipes} - {None}
    if len(lengths) < 2:
        return ()
    epochs = np.array([trial.epochs for trial in arrays.trials], np.int64)
    parts = [(int(length), arrays.subset(np.flatnonzero(epochs == length))) for length in np.unique(epochs)]
    return tuple(
        Horizon(length, part, rank_recipes(part, monitor, sign, level, equivalence, left))
        for length, part in parts
    )


def family(recipe: RecipeLabel) -> RecipeLabel:
    """The recipe without its training length.

    >>> family(RecipeLabel("sgd", "cosine", (("batch_size", "16"), ("epochs", "10")))).text
    'sgd + cosine, batch_size=16'
    """
    return recipe._replace(settings=tuple(pair for pair in recipe.settings if pair[0] != AXIS))


def horizon_table(lengths: Sequence[Horizon], monitor: str) -> pa.Table:
    """One row per recipe at each training length, the shortest length first, and in it the best recipe first.

    A recipe is named without its length. Ranks, sets, probabilities and verdicts are those within the length.
    """

    def joined(kind: Any, values: Callable[[Ranking], Any]) -> Any:
        parts = [np.asarray(values(part.ranking))[part.ranking.order] for part in lengths]
        return np.concatenate([np.zeros(0, kind), *parts])

    rank = joined(np.int64, lambda ranking: ranking.rank)
    epochs = [part.epochs for part in lengths for _ in part.ranking.order]
    recipes = [family(part.arrays.recipes[recipe]) for part in lengths for recipe in part.ranking.order]
    verdicts = [part.ranking.verdict[recipe] for part in lengths for recipe in part.ranking.order]
    label = f"final {METRICS[monitor]}"
    columns = {
        "epochs": Column(pa.array(epochs, pa.int64()), "training length", "epochs"),
        "rank": Column(pa.array(rank, pa.int64(), mask=rank == 0), "rank within the length"),
    }
    columns |= recipe_columns(recipes)
    columns |= {
        "n": Column(joined(np.int64, lambda ranking: ranking.final[monitor].n), "seeds that ended"),
        "planned": Column(joined(np.int64, lambda ranking: ranking.planned), "seeds planned"),
        "diverged": Column(joined(np.int64, lambda ranking: ranking.diverged), "seeds that diverged"),
        "final_mean": Column(joined(np.float64, lambda ranking: ranking.final[monitor].mean), label),
        "final_low": Column(joined(np.float64, lambda ranking: ranking.final[monitor].low), f"{label}, low end"),
        "final_high": Column(
            joined(np.float64, lambda ranking: ranking.final[monitor].high), f"{label}, high end"
        ),
        "p": Column(
            joined(np.float64, lambda ranking: ranking.claim.p),
            "the error probability at which it is not the best",
        ),
        "in_set": Column(
            joined(np.bool_, lambda ranking: ranking.claim.in_set), "in the confidence set of its length"
        ),
        "best_probability": Column(
            joined(np.float64, lambda ranking: ranking.claim.best_probability),
            "probability of being the best of its length",
        ),
        "verdict": Column(pa.array(verdicts, pa.string()), "may it be the best of its length?"),
    }
    return table("The best at each training length", columns)
