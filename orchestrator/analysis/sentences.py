"""The answer in sentences: the recipe to use, how sure that is, and what it would cost to be surer."""

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from orchestrator.analysis.durations import estimate
from orchestrator.analysis.horizons import Horizon, family
from orchestrator.analysis.observations import METRICS, TrialArrays
from orchestrator.analysis.race import RaceResult
from orchestrator.analysis.ranking import EQUIVALENT, NOT_LEARNED, UNTESTED, WITHHELD, Ranking, winner_value
from orchestrator.analysis.seed_planner import SeedPlan
from orchestrator.statistics.power import MOST_SEEDS

NAMED_RECIPES = 3
"""A sentence names this many recipes, or one more; it counts the rest."""
NAMED_LENGTHS = 6
"""A sentence names this many training lengths; it counts the rest."""


def listed(labels: Sequence[str], word: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`; a long list ends in a number.

    >>> listed(["a", "b", "c", "d"]), listed(["a", "b", "c", "d", "e"], "or")
    ('a, b, c and d', 'a, b, c or 2 more')
    """
    if len(labels) > NAMED_RECIPES + 1:
        return f"{', '.join(labels[:NAMED_RECIPES])} {word} {len(labels) - NAMED_RECIPES} more"
    return f" {word} ".join([", ".join(labels[:-1]), labels[-1]]) if len(labels) > 1 else "".join(labels)


def counted(number: int, singular: str, plural: str = "") -> str:
    """A number and its noun, whose plural ends in s unless `plural` is another.

    >>> counted(1, "seed"), counted(2, "seed"), counted(2, "recipe was", "recipes were")
    ('1 seed', '2 seeds', '2 recipes were')
    """
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def answer(
    arrays: TrialArrays,
    ranking: Ranking,
    monitor: str,
    sign: int,
    equivalence: float | None,
    on_test: pa.Table,
    plans: Sequence[SeedPlan],
    race: RaceResult | None = None,
    lengths: Sequence[Horizon] = (),
) -> tuple[str, ...]:
    """One sentence per entry: the recipe to use, how sure that is, the best at each of several training `lengths`,
    its test figures, and the price of being surer.
    """
    unfinished = _unfinished(arrays)
    not_learned = _not_learned(arrays, ranking)
    if ranking.winner is None:
        if not_learned:
            so_far = f" so far: {unfinished}" if unfinished else ""
            return (f"No recipe learned, so none can be recommended{so_far}.", *not_learned)
        return (f"No trial has ended with a result: {unfinished or 'nothing was planned'}.",)
    winners = [int(recipe) for recipe in ranking.order if ranking.rank[recipe] == 1]
    sentences = [
        _headline(arrays, ranking, monitor, sign, winners),
        *_doubts(arrays, ranking, winners),
        *([race.sentence] if race else []),
        *_certainty(arrays, ranking, winners),
        *_equivalents(arrays, ranking, equivalence),
        *_by_length(lengths),
        *not_learned,
        *_untested(ranking),
        *_withheld(arrays, ranking, winners),
        *_on_test(arrays, ranking, monitor, on_test),
        *_price(arrays, ranking, winners, plans),
    ]
    if unfinished:
        sentences.append(f"This is provisional: {unfinished}.")
    return tuple(sentences)


def _unfinished(arrays: TrialArrays) -> str:
    """The number of trials without an end and of failed trials, as a clause; "" without any."""
    pending = sum(trial.status in ("running", "waiting") for trial in arrays.trials)
    failed = sum(trial.status == "failed" for trial in arrays.trials)
    clauses = [counted(pending, "has not ended", "have not ended")] if pending else []
    clauses += [f"{failed} failed"] if failed else []
    return f"of {counted(len(arrays.trials), 'trial')} {' and '.join(clauses)}" if clauses else ""


def _headline(arrays: TrialArrays, ranking: Ranking, monitor: str, sign: int, winners: Sequence[int]) -> str:
    """The first sentence: the best recipe or recipes with the final metric, and its corrected value if known."""
    final = ranking.final[monitor]
    label = listed([arrays.recipes[recipe].text for recipe in winners])
    n = int(final.n[winners[0]])
    measure = f"final {METRICS[monitor]} {final.mean[winners[0]]:.3f}"
    if all(arrays.trials[trial].status == "diverged" for trial in arrays.results):
        return f"Every trial that ended diverged: use none as it is. {label} came furthest: {measure}."
    if len(winners) > 1:
        seeds = listed([counted(count, "seed") for count in sorted({int(final.n[recipe]) for recipe in winners})])
        return f"{label} share the first place: {measure} ({seeds} each)."
    corrected = winner_value(ranking, monitor, sign)
    if corrected["value"] is None:
        return f"{label} came out first: {measure} ({counted(n, 'seed')})."
    interval = f"95 % interval {corrected['low']:.3f} to {corrected['high']:.3f}"
    if int((ranking.rank > 0).sum()) == 1:
        return f"Use {label}: {measure} ({interval}, {counted(n, 'seed')})."
    return (
        f"Use {label}: {measure} over {counted(n, 'seed')}; {corrected['value']:.3f} when corrected for having "
        f"been chosen ({interval})."
    )


def _doubts(arrays: TrialArrays, ranking: Ranking, winners: Sequence[int]) -> list[str]:
    """Reasons to doubt the first sentence: diverged seeds, equal seeds, a rival that leads on common seeds."""
    result = []
    n = np.bincount(arrays.recipe[arrays.results], minlength=len(arrays.recipes))
    for recipe in winners:
        diverged = ranking.diverged[recipe]
        if 0 < diverged < n[recipe] and len(winners) == 1:
            result.append(f"But {diverged} of its {n[recipe]} seeds diverged.")
        elif 0 < diverged < n[recipe]:
            result.append(f"But {diverged} of {n[recipe]} seeds of {arrays.recipes[recipe].text} diverged.")
    if len(winners) == 1 and not ranking.claim.in_set[winners[0]]:
        result.append("But another recipe is better on the seeds that both have; give all recipes the same seeds.")
    return result


def _certainty(arrays: TrialArrays, ranking: Ranking, winners: Sequence[int]) -> list[str]:
    """Which recipes may be the best, or the reason why that is not known."""
    ranked = [int(recipe) for recipe in ranking.order if ranking.rank[recipe]]
    if len(ranked) > 1 and np.isfinite(ranking.claim.p).any() and len(ranked) > len(winners):
        return [_confidence_set(arrays, ranking, ranked, winners)]
    return [_without_tests(arrays, ranking, ranked, winners)]


def _without_tests(arrays: TrialArrays, ranking: Ranking, ranked: Sequence[int], winners: Sequence[int]) -> str:
    """Why there is no confidence set."""
    lead = "its lead" if len(winners) == 1 else "their lead"
    seeds = max(int(np.isfinite(ranking.values[recipe]).sum()) for recipe in ranked)
    reasons = (
        (len(arrays.recipes) == 1, "It is the only recipe, so there is nothing to compare it with."),
        (len(ranked) == 1, "No other recipe has a result to compare it with."),
        (seeds == 0, "No seed ended without diverging, so nothing tells them apart."),
        (len(ranked) == len(winners), "No recipe is behind, so nothing tells them apart."),
        (seeds > 1, f"No two recipes can be compared seed by seed, so {lead} may be chance."),
    )
    one_seed = f"With one seed nothing is known about spread, so {lead} may be chance."
    return next((reason for applies, reason in reasons if applies), one_seed)


def _confidence_set(arrays: TrialArrays, ranking: Ranking, ranked: Sequence[int], winners: Sequence[int]) -> str:
    """The recipes that may be the best, with their probabilities, and how many are not."""
    claim = ranking.claim
    members = [recipe for recipe in ranked if claim.in_set[recipe] and np.isfinite(claim.p[recipe])]
    out = int((~claim.in_set[ranked]).sum())
    if members == list(winners) and len(members) == 1:
        return f"With 95 % certainty it is the best of {counted(len(ranked), 'recipe')}."
    names = listed([_with_probability(arrays, ranking, recipe) for recipe in members])
    if not out:
        return f"Any of the {len(ranked)} recipes may be the best: {names}."
    others = f"the other {out} are" if out > 1 else "the other one is"
    return (
        f"With 95 % certainty the best is one of {counted(len(members), 'recipe')}: {names}; {others} behind by "
        "more than chance explains."
    )


def _with_probability(arrays: TrialArrays, ranking: Ranking, recipe: int) -> str:
    """The recipe and its probability of being the best, if that is known."""
    probability, name = ranking.claim.best_probability[recipe], arrays.recipes[recipe].text
    return name if np.isnan(probability) else f"{name} ({_probability(probability)})"


def _probability(value: float) -> str:
    """A probability with two digits, never 0 or 1.

    >>> _probability(0.618), _probability(0.9999), _probability(0.0001)
    ('0.62', 'over 0.99', 'under 0.01')
    """
    if value > 0.994:
        return "over 0.99"
    return "under 0.01" if value < 0.006 else f"{value:.2f}"


def _equivalents(arrays: TrialArrays, ranking: Ranking, equivalence: float | None) -> list[str]:
    names = [arrays.recipes[r].text for r in ranking.order if ranking.verdict[r] == EQUIVALENT]
    if not names:
        return []
    verb = "is" if len(names) == 1 else "are"
    return [
        f"{listed(names)} {verb} as good as the best: behind it by at most {equivalence:g}, with 95 % certainty."
    ]


def _by_length(lengths: Sequence[Horizon]) -> list[str]:
    """The recipes that may be the best at each training length, as one sentence; none without several lengths."""
    clauses: list[str] = []
    ranked = [part for part in lengths if part.ranking.winner is not None]
    tested = [bool(np.isfinite(part.ranking.claim.p).any()) for part in ranked]
    for part, is_tested in zip(ranked[:NAMED_LENGTHS], tested, strict=False):
        ranking = part.ranking
        chosen = ranking.claim.in_set & np.isfinite(ranking.claim.p) if is_tested else ranking.rank == 1
        members = [family(part.arrays.recipes[r]).text for r in ranking.order if chosen[r]]
        names = listed(members, "or")
        if len(members) == (ranking.rank > 0).sum() > NAMED_RECIPES + 1:
            names = f"any of {len(members)} recipes"
        doubt = " (not tested)" if any(tested) and not is_tested else ""
        verb = " the best is" if any(tested) else " the first is"
        clauses.append(f"{f'{part.epochs:,} epochs{verb}' if not clauses else f'{part.epochs:,}:'} {names}{doubt}")
    if len(lengths) < 2 or not clauses:
        return []
    more = f"; {len(ranked) - NAMED_LENGTHS} more lengths are in the table" if len(ranked) > NAMED_LENGTHS else ""
    certainty = "with 95 % certainty at each length" if any(tested) else "not tested, so it may be chance"
    return [f"At {'; at '.join(clauses)}{more} ({certainty})."]


def _not_learned(arrays: TrialArrays, ranking: Ranking) -> list[str]:
    recipes = [recipe for recipe, verdict in enumerate(ranking.verdict) if verdict == NOT_LEARNED]
    if not recipes:
        return []
    majorities = {t.majority for t, r in zip(arrays.trials, arrays.recipe, strict=True) if r in recipes}
    known = [share for share in majorities if share is not None]
    majority = f"the majority class ({known[0]:.3f})" if len(known) == 1 else "the majority class"
    names = listed([arrays.recipes[recipe].text for recipe in recipes])
    return [
        f"{names} did not learn: no seed is better than {majority} or than its own first epoch. "
        f"{'It is' if len(recipes) == 1 else 'They are'} in the cost, and in no comparison."
    ]


def _untested(ranking: Ranking) -> list[str]:
    untested = [recipe for recipe, verdict in enumerate(ranking.verdict) if verdict == UNTESTED]
    if not untested or not np.isfinite(ranking.claim.p).any():
        return []
    diverged = sum(bool(ranking.diverged[recipe]) for recipe in untested)
    number = "" if diverged == len(untested) else f", {diverged}"
    cause = f"{number} because seeds diverged" if diverged else ""
    return [f"{counted(len(untested), 'recipe was', 'recipes were')} not tested{cause}."]


def _withheld(arrays: TrialArrays, ranking: Ranking, winners: Sequence[int]) -> list[str]:
    result = []
    for edge in ranking.edges:
        name, rate = arrays.recipes[edge.recipe].text, f"{edge.learning_rate:.3g}"
        beyond = "larger" if edge.end == "largest" else "smaller"
        if edge.recipe in winners:
            result.append(
                f"{name} has the {edge.end} learning rate tried, {rate}: a {beyond} one may be better still."
            )
        elif ranking.verdict[edge.recipe] == WITHHELD:
            result.append(
                f"No verdict on {name}: its best learning rate, {rate}, is the {edge.end} tried, and a {beyond} "
                "one may be better."
            )
    return result


def _on_test(arrays: TrialArrays, ranking: Ranking, monitor: str, on_test: pa.Table) -> list[str]:
    """The winner's test figures and the optimism of its validation figures."""
    rows = [row for row in on_test.to_pylist() if row["recipe"] == arrays.recipes[ranking.winner or 0].text]
    if not rows:
        return []
    row = rows[0]
    interval = (
        "" if row["test_low"] is None else f" (95 % interval {row['test_low']:.3f} to {row['test_high']:.3f})"
    )
    change, word = abs(row["optimism_mean"]), "worse" if row["optimism_mean"] >= 0 else "better"
    difference = "the same as" if change < 0.0005 else f"{change:.3f} {word} than"
    name = "it" if int((ranking.rank == 1).sum()) == 1 else row["recipe"]
    return [
        f"On test images, which chose nothing, {name} reaches {row['test_mean']:.3f}{interval}: {difference} on "
        "validation images."
    ]


def _price(arrays: TrialArrays, ranking: Ranking, winners: Sequence[int], plans: Sequence[SeedPlan]) -> list[str]:
    """The price of settling the first open question."""
    if not plans:
        alone = len(winners) == 1 and int(ranking.claim.in_set.sum()) == 1
        settled = alone and np.isfinite(ranking.claim.p).any()
        return ["No further seed is needed to know the first place."] if settled else []
    plan = plans[0]
    names = [arrays.recipes[recipe].text for recipe in plan.recipes]
    goal = {
        "tell apart": f"To tell {names[0]} from {names[-1]}",
        "show as good": f"To show that {names[-1]} is as good as {names[0]}",
        "see the spread": "To see how sure that is",
    }[plan.goal]
    if math.isinf(plan.more):
        return [f"{goal}: more than {MOST_SEEDS:,} seeds, so far as their difference and spread are known."]
    room = f"{plan.gpus:g} GPU" if plan.gpus else f"{plan.cores:g} core"
    about = "" if plan.goal == "see the spread" else "about "
    return [
        f"{goal}: {about}{counted(int(plan.more), 'more seed')} of these {counted(len(names), 'recipe')}, "
        f"{round(plan.epochs):,} epochs at most, {estimate(plan.seconds)} on {room}"
        f"{'' if room.startswith('1 ') else 's'}."
    ]
