"""The comparison in sentences: the recipe to use, the certainty of that answer, and notes on the figures."""

import math
from collections.abc import Sequence

import numpy as np

from orchestrator.analysis.observations import METRICS, TrialArrays
from orchestrator.analysis.ranking import SAME, UNTESTED, Ranking
from orchestrator.analysis.statistics import EQUAL_VALUES, LEVEL, Ints, least_visible

NAMED_RECIPES = 3
"""A sentence names this many recipes, or one more; it counts the rest."""


def _list(labels: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`; a long list ends in a number.

    >>> _list(["a", "b", "c", "d"]), _list(["a", "b", "c", "d", "e"])
    ('a, b, c and d', 'a, b, c and 2 more')
    """
    if len(labels) > NAMED_RECIPES + 1:
        return f"{', '.join(labels[:NAMED_RECIPES])} and {len(labels) - NAMED_RECIPES} more"
    return " and ".join([", ".join(labels[:-1]), labels[-1]]) if len(labels) > 1 else "".join(labels)


def _count(number: int, singular: str, plural: str = "") -> str:
    """A number and its noun, whose plural ends in s unless `plural` is another.

    >>> _count(1, "seed"), _count(2, "seed"), _count(2, "recipe was", "recipes were")
    ('1 seed', '2 seeds', '2 recipes were')
    """
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def answer(arrays: TrialArrays, ranking: Ranking, monitor: str) -> tuple[str, ...]:
    """One sentence per entry: the recipe to use, then the certainty of that, then the trials without a result."""
    unfinished = _unfinished(arrays)
    if ranking.winner is None:
        return (f"No trial has ended with a result: {unfinished or 'nothing was planned'}.",)
    winners = [recipe for recipe in ranking.order if ranking.rank[recipe] == 1]
    sentences = [_headline(arrays, ranking, monitor, winners), *_doubts(arrays, ranking, monitor, winners)]
    sentences += _tests(arrays, ranking, monitor, len(winners))
    if unfinished:
        sentences.append(f"This is provisional: {unfinished}.")
    return tuple(sentences)


def _unfinished(arrays: TrialArrays) -> str:
    """The number of trials without an end and of failed trials, as a clause; "" without any."""
    pending = sum(trial.status in ("running", "waiting") for trial in arrays.trials)
    failed = sum(trial.status == "failed" for trial in arrays.trials)
    clauses = [_count(pending, "has not ended", "have not ended")] if pending else []
    clauses += [f"{failed} failed"] if failed else []
    return f"of {_count(len(arrays.trials), 'trial')} {' and '.join(clauses)}" if clauses else ""


def _headline(arrays: TrialArrays, ranking: Ranking, monitor: str, winners: Sequence[int]) -> str:
    """The first sentence: the best recipe or recipes with the final metric, and with its interval if known."""
    final = ranking.final[monitor]
    label = _list([arrays.recipes[recipe].text for recipe in winners])
    mean, low, high = (float(values[winners[0]]) for values in (final.mean, final.low, final.high))
    n = int(final.n[winners[0]])
    measure = f"final {METRICS[monitor]} {mean:.3f}"
    if all(arrays.trials[trial].status == "diverged" for trial in arrays.results):
        return f"Every trial that ended diverged: use none as it is. {label} came furthest: {measure}."
    if len(winners) > 1:
        seeds = _list([_count(count, "seed") for count in sorted({int(final.n[recipe]) for recipe in winners})])
        return f"{label} share the first place: {measure} ({seeds} each)."
    if n > 1 and not math.isnan(low):
        return f"Use {label}: {measure} (95 % interval {low:.3f} to {high:.3f}, {_count(n, 'seed')})."
    return f"{label} came out first: {measure} ({_count(n, 'seed')})."


def _doubts(arrays: TrialArrays, ranking: Ranking, monitor: str, winners: Sequence[int]) -> list[str]:
    """Reasons to doubt the first sentence: diverged seeds, and seeds that are all equal."""
    final = ranking.final[monitor]
    result = []
    for recipe in winners:
        diverged, n = ranking.diverged[recipe], final.n[recipe]
        if 0 < diverged < n and len(winners) == 1:
            result.append(f"But {diverged} of its {n} seeds diverged.")
        elif 0 < diverged < n:
            result.append(f"But {diverged} of {n} seeds of {arrays.recipes[recipe].text} diverged.")
    if len(winners) == 1 and final.reasons[winners[0]] == EQUAL_VALUES:
        n = final.n[winners[0]]
        seeds = "Both" if n == 2 else f"All {n}"
        result.append(f"{seeds} seeds gave this same figure, which does not show that there is no spread.")
    return result


def _tests(arrays: TrialArrays, ranking: Ranking, monitor: str, winners: int) -> list[str]:
    """The results of the tests of all recipes against the winner, or the reason why there is no test."""
    candidates = [recipe for recipe in ranking.order if ranking.rank[recipe]]
    if len(arrays.recipes) == 1:
        return ["It is the only recipe, so there is nothing to compare it with."]
    if len(candidates) == 1:
        return ["No other recipe has a result yet."]
    if len(candidates) == winners:
        return ["No other recipe has a result, so nothing tells them apart."]
    lead, subject, winner = ("Its lead", "It is", "it") if winners == 1 else ("Their lead", "They are", "them")
    if ranking.final[monitor].n[ranking.winner] == 1:
        return [f"With one seed nothing is known about spread, so {lead.lower()} may be chance."]
    same = [arrays.recipes[recipe].text for recipe in candidates if ranking.verdict[recipe] == SAME]
    untested = [recipe for recipe in candidates if ranking.verdict[recipe] == UNTESTED]
    different = len(candidates) - winners - len(same) - len(untested)
    result = []
    if same:
        result.append(f"{lead} over {_list(same)} may be chance (paired test over seeds, Holm-corrected).")
    if different and (same or untested):
        result.append(f"{subject} better than {_count(different, 'other recipe')} by more than chance explains.")
    elif different:
        recipes = "the other recipe" if different == 1 else f"all {different} other recipes"
        result.append(f"{subject} better than {recipes} by more than chance explains.")
    if untested:
        diverged = sum(bool(ranking.diverged[recipe]) for recipe in untested)
        number = "" if diverged == len(untested) else f", {diverged}"
        cause = f"{number} because seeds diverged" if diverged else ""
        recipes = _count(len(untested), "recipe was", "recipes were")
        result.append(f"{recipes} not tested against {winner}{cause}.")
    return result


def notes(arrays: TrialArrays, ranking: Ranking, monitor: str, further: Sequence[str]) -> tuple[str, ...]:
    """Explanations of the figures and of their limits, as far as they apply to this comparison, then `further`."""
    final = ranking.final[monitor]
    seeds: Ints = final.n[final.n > 0]
    table: list[tuple[bool | np.bool_, str]] = [
        (
            True,
            "Final is the last epoch, best the epoch with the best monitored value; the best of many epochs "
            "overstates what another run would reach.",
        ),
        (
            (seeds > 1).any(),
            "Intervals are 95 % t-intervals of the mean over seeds, clipped to what the metric can be. They cover "
            "the variation between seeds on this data, not the variation between data sets.",
        ),
        (
            (seeds == 1).any(),
            f"{'Every recipe has' if (seeds == 1).all() else 'Some recipes have'} one seed: nothing is known "
            "about spread there, so no interval is given.",
        ),
        (
            EQUAL_VALUES in final.reasons,
            "Where every seed of a recipe gave the same figure no interval is given: an accuracy is a count of "
            "images, so a few seeds may agree by chance.",
        ),
        (
            len(set(seeds.tolist())) > 1,
            "Recipes have different numbers of seeds; each is tested on the seeds it shares with the winner.",
        ),
        (ranking.comparisons > 0, _least_difference(ranking)),
        (
            (seeds > 1).any() and UNTESTED in ranking.verdict,
            "? means not tested: a seed diverged, fewer than two seeds are shared with the winner, or the "
            "difference is the same in every seed, which leaves no measure of chance.",
        ),
        (
            len(seeds) > 1,
            "The winner was chosen for its figure, so that figure is a little too good; a new seed would show by "
            "how much.",
        ),
        (
            ranking.diverged.any(),
            "A diverged trial counts with its last epoch, the one it diverged in; a loss that is not a number "
            "counts as infinite, such an accuracy as 0. Recipes with diverged seeds are ranked by that, but not "
            "tested.",
        ),
        (
            any(trial.status in ("failed", "running", "waiting") for trial in arrays.trials),
            "Trials that failed or have not ended are in the cost and in the list of trials, nowhere else.",
        ),
        (
            arrays.reused.any(),
            "Epochs taken were known from a trial with the same beginning and were not trained again; a trial's "
            "seconds count them as if it had trained them itself.",
        ),
    ]
    return (*(note for applies, note in table if applies), *further)


def _least_difference(ranking: Ranking) -> str:
    """The note on the smallest difference that the tests can show; "" without a test."""
    if not ranking.comparisons:
        return ""
    factor = least_visible(ranking.fewest, ranking.comparisons, LEVEL)
    return (
        "~ means: cannot be told apart from the winner, not: equally good. With "
        f"{_count(ranking.fewest, 'seed')} and {_count(ranking.comparisons, 'comparison')} the first recipe to be "
        f"told apart has to fall behind by more than {factor:.1f} times the standard deviation of its "
        "seed-by-seed differences. More seeds show smaller differences."
    )
