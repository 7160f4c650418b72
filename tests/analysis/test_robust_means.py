"""Interquartile means against scipy, and who gets one."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.analysis import robust_means
from orchestrator.analysis.summary import summarize
from tests.support.histories import worked


def test_the_examples_hold():
    assert doctest.testmod(robust_means).failed == 0


@settings(deadline=None)  # the first example imports scipy.stats
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_it_is_the_mean_trimmed_by_a_quarter(values):
    from scipy import stats

    expected = stats.trim_mean(np.array(values), 0.25)
    assert robust_means.interquartile_mean(np.array(values)) == pytest.approx(expected)


def test_the_interval_is_a_percentile_bootstrap():
    from scipy import stats

    values = [0.90, 0.93, 0.92, 0.96, 0.91, 0.95, 0.92, 0.89]
    row = summarize(*worked({"a + x": values, "b + x": [v - 0.2 for v in values]})).robust_means.to_pylist()[0]
    reference = stats.bootstrap(
        (np.array(values),),
        lambda x, axis: stats.trim_mean(x, 0.25, axis=axis),
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert row["iqm"] == pytest.approx(stats.trim_mean(values, 0.25))
    assert (row["iqm_low"], row["iqm_high"]) == pytest.approx((reference.low, reference.high), abs=0.003)


@pytest.mark.parametrize(("seeds", "count"), [(4, 0), (5, 2)])
def test_fewer_than_five_seeds_have_none_and_a_note_says_why(seeds, count):
    comparison = summarize(
        *worked({"a + x": np.linspace(0.9, 0.95, seeds), "b + x": np.linspace(0.5, 0.6, seeds)})
    )
    assert comparison.robust_means.num_rows == count
    assert any("they need 5 seeds" in note for note in comparison.notes) == (count == 0)


def test_one_lucky_seed_does_not_decide():
    comparison = summarize(
        *worked({"a + x": [0.5, 0.5, 0.51, 0.5, 0.99], "b + x": [0.55, 0.56, 0.55, 0.54, 0.55]})
    )
    means = {row["recipe"]: row["iqm"] for row in comparison.robust_means.to_pylist()}
    assert comparison.ranking.to_pylist()[0]["recipe"] == "a + x"
    assert means["a + x"] < means["b + x"]
