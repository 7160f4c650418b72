"""Which recipes can be dropped after each seed, so that the best one survives all looks with a given
confidence.
"""

import math
from dataclasses import dataclass

import numpy as np

from orchestrator.statistics.descriptive import Bools, Floats, Ints
from orchestrator.statistics.pairs import compare

COST_OF_LOOKS = 2.5
"""How fast the error of a look falls with the number of looks; chosen by simulation
(tests/benchmarks/test_race.py)."""


def error_of_a_look(confidence: float, first: int, most: int) -> float:
    """The error probability of one look of a race that looks after `first`, `first` + 1, ..., `most` seeds.

    Formula: (1 - confidence) / (1 + COST_OF_LOOKS log(most / first)). Looks at growing numbers of the same seeds
    are strongly correlated: their effective number grows with the logarithm of the seeds, not with the number of
    looks.

    >>> error_of_a_look(0.95, 3, 3), round(error_of_a_look(0.95, 3, 30), 4)
    (0.050000000000000044, 0.0074)
    """
    return (1 - confidence) / (1 + COST_OF_LOOKS * math.log(most / first))


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one look shows. Arrays have one entry per recipe.

    out: bool, the recipes that are not the best. by: int64, the recipe that is most surely better; -1 for those
    that stay. behind_at_most: float64, how far a recipe is behind the best of those compared at most, NaN if not
    known.
    """

    out: Bools
    by: Ints
    behind_at_most: Floats


def look(scores: Floats, reliable: Bools, comparisons: int, error: float) -> Look:
    """The recipes that leave by `scores`, float64 [K recipes, n seeds], more is better, NaN for a diverged seed.

    A recipe leaves where a `reliable` other one is better in a one-sided paired t-test at `error` / `comparisons`,
    with moderated variances (`pairs.compare`). Only one recipe is the best, so it is dropped in a look with a
    probability of at most `error`.
    """
    pairs = compare(scores, np.arange(len(scores)))
    other = reliable[None, :] & ~np.eye(len(scores), dtype=np.bool_)
    tested = other & pairs.tested
    p = np.where(tested, pairs.above(), np.inf)
    strongest = np.argmin(p, axis=1) if len(scores) else np.zeros(0, np.int64)
    out = np.asarray((p <= error / comparisons).any(axis=1), np.bool_)
    bound = np.where(tested, _quantile(pairs.degrees, 1 - error / comparisons) * pairs.error - pairs.mean, -np.inf)
    behind = np.maximum(np.max(bound, axis=1, initial=-np.inf), 0.0)
    known = tested.any(axis=1) & (tested == other).all(axis=1)
    return Look(out=out, by=np.where(out, strongest, -1), behind_at_most=np.where(known, behind, np.nan))


def _quantile(degrees: Floats, share: float) -> Floats:
    """Student's t at `share`, computed once for equal degrees of freedom, for it would take half of a look."""
    from scipy.special import stdtrit

    distinct, place = np.unique(degrees, return_inverse=True)
    return np.asarray(stdtrit(distinct, share)[place.reshape(degrees.shape)], np.float64)
