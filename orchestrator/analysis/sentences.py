"""The comparison in sentences: what to use, how sure that is, and what the figures mean."""

import math
from collections.abc import Sequence

from orchestrator.analysis.observations import METRICS, TrialArrays
from orchestrator.analysis.ranking import SAME, UNTESTED, Ranking
from orchestrator.analysis.statistics import EQUAL_VALUES, LEVEL, least_visible

NAMED = 3


def _some(labels: Sequence[str]) -> str:
    if len(labels) <= NAMED + 1:
        return " and ".join([", ".join(labels[:-1]), labels[-1]]) if len(labels) > 1 else "".join(labels)
    return f"{', '.join(labels[:NAMED])} and {len(labels) - NAMED} more"


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _unfinished(runs: TrialArrays) -> str:
    waiting = sum(t.status in ("running", "waiting") for t in runs.planned)
    failed = sum(t.status == "failed" for t in runs.planned)
    parts = ([f"{waiting} {'has' if waiting == 1 else 'have'} not ended"] if waiting else []) + (
        [f"{failed} failed"] if failed else []
    )
    return f"of {_counted(len(runs.planned), 'trial')} {' and '.join(parts)}" if parts else ""


def answer(runs: TrialArrays, at: Ranking, monitor: str) -> tuple[str, ...]:
    """What to use, how sure that is, and what is missing; one sentence an entry, the answer first."""
    missing = _unfinished(runs)
    if at.winner is None:
        return (f"No trial has ended with a result: {missing or 'nothing was planned'}.",)
    found, leaders = at.final[monitor], [r for r in at.order if at.rank[r] == 1]
    label = _some([runs.recipes[r].label for r in leaders])
    mean, low, high, n = (x[at.winner] for x in (found.mean, found.low, found.high, found.n))
    measure = f"final {METRICS[monitor]} {mean:.3f}"
    if all(runs.planned[t].status == "diverged" for t in runs.results):
        first = f"Every trial that ended diverged: use none as it is. {label} came furthest: {measure}."
    elif len(leaders) > 1:
        seeds = _some([_counted(count, "seed") for count in sorted({int(found.n[r]) for r in leaders})])
        first = f"{label} share the first place: {measure} ({seeds} each)."
    elif n > 1 and not math.isnan(low):
        first = f"Use {label}: {measure} (95 % interval {low:.3f} to {high:.3f}, {_counted(n, 'seed')})."
    else:
        first = f"{label} came out first: {measure} ({_counted(n, 'seed')})."
    sentences = [first]
    for r in leaders:
        if 0 < at.diverged[r] < found.n[r]:
            whose = "its " if len(leaders) == 1 else ""
            whom = "" if len(leaders) == 1 else f" of {runs.recipes[r].label}"
            sentences.append(f"But {at.diverged[r]} of {whose}{found.n[r]} seeds{whom} diverged.")
    if len(leaders) == 1 and found.reasons[at.winner] == EQUAL_VALUES:
        every = "Both" if n == 2 else f"All {n}"
        sentences.append(f"{every} seeds gave this same figure, which does not show that there is no spread.")
    sentences += _certainty(runs, at, int(n), len(leaders))
    if missing:
        sentences.append(f"This is provisional: {missing}.")
    return tuple(sentences)


def _certainty(runs: TrialArrays, at: Ranking, n: int, leaders: int) -> list[str]:
    by_rank = [r for r in at.order if at.rank[r]]
    if len(by_rank) == 1:
        alone = len(runs.recipes) == 1
        return (
            ["It is the only recipe, so there is nothing to compare it with."]
            if alone
            else ["No other recipe has a result yet."]
        )
    if len(by_rank) == leaders:
        return ["No other recipe has a result, so nothing tells them apart."]
    lead, better = ("Its lead", "It is") if leaders == 1 else ("Their lead", "They are")
    if n == 1:
        return [f"With one seed nothing is known about spread, so {lead.lower()} may be chance."]
    same = [runs.recipes[r].label for r in by_rank if at.verdict[r] == SAME]
    untested = [r for r in by_rank if at.verdict[r] == UNTESTED]
    others = len(by_rank) - leaders - len(same) - len(untested)
    result = []
    if same:
        result.append(f"{lead} over {_some(same)} may be chance (paired test over seeds, Holm-corrected).")
    if others:
        every = "the other recipe" if others == 1 else f"all {others} other recipes"
        which = _counted(others, "other recipe") if same or untested else every
        result.append(f"{better} better than {which} by more than chance explains.")
    if untested:
        lost = sum(bool(at.diverged[r]) for r in untested)
        because = (
            " because seeds diverged"
            if lost == len(untested)
            else f", {lost} because seeds diverged"
            if lost
            else ""
        )
        against = "it" if leaders == 1 else "them"
        result.append(
            f"{_counted(len(untested), 'recipe was', 'recipes were')} not tested against {against}{because}."
        )
    return result


def notes(runs: TrialArrays, at: Ranking, monitor: str, given: Sequence[str]) -> tuple[str, ...]:
    """What the figures mean and where they mislead; only what applies to this comparison."""
    seeds = at.final[monitor].n[at.final[monitor].n > 0]
    result = [
        "Final is the last epoch, best the epoch with the best monitored value; the best of many looks kind."
    ]
    if (seeds > 1).any():
        result.append(
            "Intervals are 95 % t-intervals of the mean over seeds, clipped to what the metric can be. "
            "They cover the luck of seeds on this data, not that of other data."
        )
    if (seeds == 1).any():
        few = "Every recipe has" if (seeds == 1).all() else "Some recipes have"
        result.append(f"{few} one seed: nothing is known about spread there, so no interval is given.")
    if EQUAL_VALUES in at.final[monitor].reasons:
        result.append(
            "Where every seed of a recipe gave the same figure no interval is given: such figures are coarse, an "
            "accuracy is a count of images, so a few seeds agree by luck as well."
        )
    if len(set(seeds.tolist())) > 1:
        result.append(
            "Recipes have different numbers of seeds; each is tested on the seeds it shares with the winner."
        )
    if at.comparisons:
        seen = least_visible(at.fewest, at.comparisons, LEVEL)
        result.append(
            "~ means: cannot be told apart from the winner, not: equally good. With "
            f"{_counted(at.fewest, 'seed')} and {_counted(at.comparisons, 'comparison')} the first recipe to "
            f"be told apart has to fall behind by more than {seen:.1f} times the standard deviation of its "
            "seed-by-seed differences. More seeds see more."
        )
    if (seeds > 1).any() and UNTESTED in at.verdict:
        result.append(
            "? means not tested: a seed diverged, fewer than two seeds are shared with the winner, or the "
            "difference is the same in every seed, which leaves no measure of chance."
        )
    if len(seeds) > 1:
        result.append(
            "The winner was chosen for its figure, so that figure is a little flattering; a fresh seed tells."
        )
    if at.diverged.any():
        result.append(
            "A diverged trial counts with its last epoch, the one it diverged in; a loss that is not a "
            "number counts as infinite, such an accuracy as 0. Recipes with diverged seeds are ranked by "
            "that, but not tested."
        )
    if any(t.status in ("failed", "running", "waiting") for t in runs.planned):
        result.append(
            "Trials that failed or have not ended are in the cost and in the list of trials, nowhere else."
        )
    if runs.reused.any():
        result.append(
            "Epochs taken were known from a trial with the same beginning and were not trained again; a "
            "trial's seconds count them as if it had trained them itself."
        )
    return (*result, *given)
