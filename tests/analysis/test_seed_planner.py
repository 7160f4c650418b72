"""The price of certainty: power against scipy and simulation, and what it says at the ends."""

import doctest

import numpy as np
import pytest

from orchestrator.analysis import seed_planner
from orchestrator.analysis.seed_planner import needed_seeds
from orchestrator.analysis.summary import summarize
from tests.support.histories import worked


def test_the_examples_hold():
    assert doctest.testmod(seed_planner).failed == 0


@pytest.mark.parametrize(("effect", "borrowed", "comparisons"), [(1.0, 0.0, 1), (0.5, 0.0, 3), (0.8, 6.0, 11)])
def test_so_many_seeds_have_the_power_and_one_fewer_has_not(effect, borrowed, comparisons):
    from scipy import stats

    n = int(needed_seeds(effect, 1.0, borrowed, comparisons, 0.95))

    def power(n):
        degrees = n - 1 + borrowed
        return stats.nct.sf(stats.t.ppf(1 - 0.05 / comparisons, degrees), degrees, effect * np.sqrt(n))

    assert power(n) >= 0.8 > power(n - 1)


def test_by_simulation():
    from scipy import stats

    n = int(needed_seeds(0.6, 1.0, 0.0, 1, 0.95))
    draws = np.random.default_rng(0).normal(0.6, 1.0, (20_000, n))
    seen = stats.ttest_1samp(draws, 0, axis=1, alternative="greater").pvalue < 0.05
    assert seen.mean() == pytest.approx(0.8, abs=0.03)


def test_scale_does_not_matter_and_no_effect_is_never_seen():
    assert needed_seeds(0.01, 0.0001, 2.0, 5, 0.95) == needed_seeds(1.0, 1.0, 2.0, 5, 0.95)
    assert needed_seeds(0.0, 1.0, 2.0, 5, 0.95) == np.inf
    assert needed_seeds(-1.0, 1.0, 2.0, 5, 0.95) == np.inf
    assert needed_seeds(1e-3, 1.0, 2.0, 5, 0.95) == np.inf


CLOSE = {"a + x": [0.93, 0.95, 0.94], "b + x": [0.92, 0.95, 0.93], "c + x": [0.5, 0.51, 0.52]}


def test_the_plan_costs_what_the_trials_cost_so_far():
    row = summarize(*worked(CLOSE)).certainty.to_pylist()[0]
    assert (row["recipe"], row["goal"], row["recipes"]) == ("b + x", "tell apart", 2)
    assert row["trials"] == 2 * row["more"]
    # A trial has 4 epochs of 2 s each.
    assert row["epochs"] == 8 * row["more"]
    assert row["seconds"] == pytest.approx(16 * row["more"] / row["cores"])


def test_the_cheaper_goal_counts():
    goals = {
        margin: [row["goal"] for row in summarize(*worked(CLOSE), equivalence=margin).certainty.to_pylist()]
        for margin in (None, 0.0, 0.001, 0.5)
    }
    assert goals == {None: ["tell apart"], 0.0: ["tell apart"], 0.001: ["tell apart"], 0.5: ["tell apart"]}
    near = {"a + x": [0.93, 0.95, 0.94], "b + x": [0.94, 0.93, 0.948], "c + x": [0.5, 0.51, 0.52]}
    row = summarize(*worked(near), equivalence=0.01).certainty.to_pylist()[0]
    assert (row["recipe"], row["goal"]) == ("b + x", "show as good")
    assert row["more"] < summarize(*worked(near)).certainty.to_pylist()[0]["more"]


def test_a_settled_question_costs_nothing_and_one_seed_asks_for_more():
    settled = summarize(*worked({"a + x": [0.93, 0.95, 0.94], "c + x": [0.5, 0.51, 0.52]}))
    assert settled.certainty.num_rows == 0
    assert settled.answer[-1] == "No further seed is needed to know the first place."
    first = summarize(*worked({"a + x": [0.93], "c + x": [0.5]})).certainty.to_pylist()
    assert [(row["goal"], row["more"], row["trials"]) for row in first] == [("see the spread", 2.0, 4.0)]
    assert summarize(*worked({"a + x": [0.93]})).certainty.num_rows == 0


def test_a_tie_is_not_settled_by_any_number_of_seeds():
    comparison = summarize(*worked({"a + x": [0.9, 0.8, 0.7], "b + x": [0.7, 0.8, 0.9], "c + x": [0.1, 0.2, 0.1]}))
    assert comparison.certainty.to_pylist()[0]["more"] == np.inf
    assert "more than 1,000 seeds" in comparison.answer[-1]
