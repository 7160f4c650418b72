"""The price of certainty, and what it says where there is nothing to buy."""

import numpy as np
import pytest

from orchestrator.analysis.summary import summarize
from tests.support.histories import worked

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
