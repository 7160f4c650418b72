"""Notes on the figures of a comparison: what they mean and where their limits are."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from orchestrator.analysis.observations import TrialArrays
from orchestrator.analysis.ranking import UNTESTED, Ranking
from orchestrator.analysis.robust_means import FEWEST_SEEDS
from orchestrator.statistics.descriptive import EQUAL_VALUES, Ints


def notes(
    arrays: TrialArrays, ranking: Ranking, monitor: str, on_test: pa.Table, further: Sequence[str]
) -> tuple[str, ...]:
    """Explanations of the figures and of their limits, as far as they apply to this comparison, then `further`."""
    final = ranking.final[monitor]
    seeds: Ints = final.n[final.n > 0]
    tested = np.isfinite(ranking.claim.p)
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
            "Recipes have different numbers of seeds; two are compared on the seeds that both have.",
        ),
        (
            tested.any(),
            "The confidence set leaves out the best recipe with a probability of 5 % at most, however many are "
            "tested. A spread from few seeds borrows from the other recipes, unless its own is larger.",
        ),
        (
            tested.any() and ranking.final[monitor].n.max() < FEWEST_SEEDS,
            f"Interquartile means and mean ranks over seeds are left out: they need {FEWEST_SEEDS} seeds.",
        ),
        (
            (seeds > 1).any() and UNTESTED in ranking.verdict,
            "? means not tested: a seed diverged, fewer than two seeds are shared with the others, or the "
            "difference is the same in every seed, which leaves no measure of chance.",
        ),
        (
            len(seeds) > 1 and not on_test.num_rows,
            "There is no test set: all figures are of the images on which the winner was chosen. "
            "`data: {test: 0.15}` puts some aside.",
        ),
        (
            ranking.diverged.any(),
            "A diverged trial counts with its last epoch, the one it diverged in; a loss that is not a number "
            "counts as infinite, such an accuracy as 0. Recipes with diverged seeds are ranked by that. "
            "They are compared on their other seeds, and rule no recipe out.",
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
