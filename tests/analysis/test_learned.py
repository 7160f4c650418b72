"""Recipes that learned nothing, and learning rates at the edge of their grid."""

import dataclasses
import doctest
import math

import pyarrow as pa
import pytest

from orchestrator.analysis import learned
from orchestrator.analysis.summary import RecipeLabel, TrialDescription, summarize
from tests.support.histories import history, rows, trial, worked


def verdicts(comparison):
    return {row["recipe"]: row["verdict"] for row in comparison.ranking.to_pylist()}


def with_majority(table, trials, majority=0.5, images=500):
    return table, [dataclasses.replace(t, validation=images, majority=majority) for t in trials]


def test_the_examples_hold():
    assert doctest.testmod(learned).failed == 0


@pytest.mark.parametrize(("majority", "images"), [(0.5, 500), (0.1, 449), (0.9, 60), (0.5, 2)])
def test_the_chance_level_is_the_binomial_quantile(majority, images):
    from scipy import stats

    assert learned.chance_level(majority, images) * images == pytest.approx(
        stats.binom.ppf(0.95, images, majority)
    )


def test_a_recipe_at_the_majority_class_in_every_seed_did_not_learn():
    finals = {"a + x": [0.7, 0.72, 0.71], "dead + x": [0.5, 0.5, 0.5], "faint + x": [0.512, 0.5, 0.5]}
    comparison = summarize(*with_majority(*worked(finals)))
    assert verdicts(comparison) == {"a + x": "winner", "dead + x": "did not learn", "faint + x": "did not learn"}
    last = comparison.ranking.to_pylist()[1:]
    assert [(row["rank"], row["p"], row["in_set"]) for row in last] == [(None, None, False)] * 2
    assert comparison.totals.to_pylist()[0]["epochs_trained"] == 36
    assert "did not learn: no seed is better than the majority class (0.500)" in " ".join(comparison.answer)
    assert comparison.target == pytest.approx(0.71)


def test_one_seed_that_learned_is_enough():
    finals = {"a + x": [0.7, 0.72, 0.71], "late + x": [0.5, 0.6, 0.5]}
    assert verdicts(summarize(*with_majority(*worked(finals))))["late + x"] != "did not learn"


def test_without_a_majority_a_recipe_must_beat_its_own_first_epoch():
    flat, falling, steady = (trial(f"{name} + x", 0, 3) for name in ("flat", "falling", "steady"))
    parts = [
        rows(flat, [0.5, 0.5, 0.5]),
        rows(falling, [0.5, 0.5, 0.4]),
        # All was learned in the first epoch: the training loss goes on falling.
        rows(steady, [0.9, 0.9, 0.9], loss=[0.3, 0.2, 0.1]),
    ]
    comparison = summarize(pa.concat_tables(parts), [flat, falling, steady])
    assert verdicts(comparison) == {
        "steady + x": "winner",
        "flat + x": "did not learn",
        "falling + x": "did not learn",
    }


def test_one_epoch_is_not_held_against_its_own_first_epoch():
    comparison = summarize(*worked({"a + x": [0.9, 0.8], "b + x": [0.7, 0.6]}, epochs=1))
    assert "did not learn" not in verdicts(comparison).values()


def test_a_recipe_that_diverged_in_every_seed_is_diverged_and_nothing_else():
    lost = [TrialDescription(f"l{s}", "sgd", "high", s, 3, 1.0, status="diverged") for s in (0, 1)]
    parts = [rows(t, [0.5, 0.1], loss=[1.0, math.nan]) for t in lost]
    table, trials = worked({"a + x": [0.9, 0.8]})
    comparison = summarize(pa.concat_tables([table, *parts]), [*trials, *lost])
    assert verdicts(comparison)["sgd + high"] == "not tested"


def test_where_nothing_learned_there_is_no_winner():
    comparison = summarize(*with_majority(*worked({"a + x": [0.5, 0.5], "b + x": [0.5, 0.49]})))
    assert set(verdicts(comparison).values()) == {"did not learn"}
    assert comparison.answer[0] == "No recipe learned, so none can be recommended."
    assert comparison.answer[1].startswith("a + x and b + x did not learn")


def at_rates(finals):
    """One recipe at several peak rates, with these finals, one a seed."""
    trials = [
        (
            TrialDescription(
                f"{rate}-{s}", "sgd", "cosine", s, 2, rate, {"optimizers.sgd.learning_rate": f"{rate}"}
            ),
            [0.2, final],
        )
        for rate, values in finals.items()
        for s, final in enumerate(values)
    ]
    return trials


@pytest.mark.parametrize(
    ("finals", "end"),
    [
        ({0.1: 0.9, 0.01: 0.8, 0.001: 0.7}, "largest"),
        ({0.1: 0.7, 0.01: 0.8, 0.001: 0.9}, "smallest"),
        ({0.1: 0.7, 0.01: 0.9, 0.001: 0.8}, None),
        ({0.1: 0.9, 0.01: 0.9, 0.001: 0.8}, None),
        ({0.1: 0.9}, None),
    ],
)
def test_the_best_rate_at_the_edge_of_the_grid_is_found(finals, end):
    comparison = summarize(*history(at_rates({rate: [value, value - 0.01] for rate, value in finals.items()})))
    text = " ".join(comparison.answer)
    assert (f"has the {end} learning rate tried" in text) if end else ("learning rate tried" not in text)


def test_a_verdict_is_withheld_where_the_best_rate_is_the_edge():
    better = worked({"adam + cosine": [0.95, 0.96, 0.955]}, epochs=2)
    tried = history(at_rates({0.1: [0.7, 0.71, 0.705], 0.01: [0.5, 0.51, 0.49], 0.001: [0.3, 0.29, 0.31]}))
    comparison = summarize(pa.concat_tables([better[0], tried[0]]), [*better[1], *tried[1]])
    edge = RecipeLabel("sgd", "cosine", (("optimizers.sgd.learning_rate", "0.1"),)).text
    assert verdicts(comparison)[edge] == "withheld"
    assert sorted(verdicts(comparison).values()) == ["different", "different", "winner", "withheld"]
    assert f"No verdict on {edge}: its best learning rate, 0.1, is the largest tried" in " ".join(
        comparison.answer
    )
