"""The `race:` part of a sweep file: seeds where they decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from experiments.settings import NOT_NEGATIVE, InputError, Limit, checked, whole

CONFIDENCE = Limit("a number from 0.5 to below 1", lambda number: 0.5 <= number < 1)


@dataclass(frozen=True, kw_only=True)
class Race:
    """Every recipe gets `first` seeds; then only those that may still be the best get more, up to `most`."""

    confidence: Annotated[float, CONFIDENCE, "the probability that the best recipe is never dropped"] = 0.95
    first: Annotated[int, whole(2, 10_000), "the seeds that every recipe gets"] = 3
    most: Annotated[int, whole(2, 10_000), "the seeds that a recipe gets at most"] = 30
    equivalence: Annotated[
        float | None, NOT_NEGATIVE, "the difference that does not matter; null is the sweep's own `equivalence`"
    ] = None


def check(values: Mapping[str, Any], seeds: Sequence[int], listed: bool) -> tuple[Race, tuple[int, ...]]:
    """The race of a sweep with `seeds`, and all the seeds that it may use: those first, then the smallest others.

    `listed` says that the seeds stand in the sweep file. Raises InputError for contradictory settings.

    >>> check({"most": 4}, [7, 0], True)[1]
    (7, 0, 1, 2)
    """
    race = Race(**checked("race", values, Race))
    if race.most < race.first:
        raise InputError(f"race.most: expected at least race.first ({race.first}), got {race.most}")
    if listed and len(seeds) > race.most:
        raise InputError(
            f"race.most: expected at least the {len(seeds)} seeds that are listed, got {race.most}; list fewer "
            "seeds, or raise it"
        )
    unused = (seed for seed in range(race.most + len(seeds)) if seed not in set(seeds))
    return race, (*seeds, *(next(unused) for _ in range(race.most - len(seeds))))[: race.most]
