"""Against scipy.stats, and against numbers worked out by hand."""

import doctest

import numpy as np
import pytest

from orchestrator.statistics import descriptive

ANY = (-np.inf, np.inf)


def flat(*groups):
    """Values and group numbers, one list of values a group."""
    values = np.concatenate([np.asarray(g, np.float64) for g in groups])
    return values, np.repeat(np.arange(len(groups)), [len(g) for g in groups])


def test_examples_in_the_docstrings():
    assert doctest.testmod(descriptive).failed == 0
    assert doctest.testmod(descriptive).attempted > 5


def test_interval_by_hand_and_by_scipy():
    from scipy import stats

    intervals = descriptive.intervals(*flat([0.90, 0.92, 0.94], [0.5, 0.7]), 2, ANY)
    # mean 0.92, deviation 0.02, t(0.975; 2) = 4.302653: half width 4.302653 * 0.02 / sqrt(3) = 0.049683
    assert intervals.n.tolist() == [3, 2]
    assert intervals.mean == pytest.approx([0.92, 0.6])
    assert intervals.deviation == pytest.approx([0.02, 0.1414214])
    assert intervals.low == pytest.approx([0.870317, 0.6 - 12.706205 * 0.1], abs=1e-6)
    assert intervals.high == pytest.approx([0.969683, 0.6 + 12.706205 * 0.1], abs=1e-6)
    reference = stats.t.interval(0.95, 2, 0.92, stats.sem([0.90, 0.92, 0.94]))
    assert (intervals.low[0], intervals.high[0]) == pytest.approx(reference)


def test_interval_is_clipped_to_what_an_accuracy_can_be():
    intervals = descriptive.intervals(*flat([0.95, 0.99], [0.01, 0.05]), 2, (0.0, 1.0))
    assert intervals.high[0] == 1.0
    assert intervals.low[1] == 0.0
    assert intervals.low[0] == pytest.approx(0.97 - 12.706205 * 0.02)


def test_one_value_has_a_mean_and_no_interval_none_has_neither():
    intervals = descriptive.intervals(np.array([0.5]), np.array([1]), 3, ANY)
    assert intervals.n.tolist() == [0, 1, 0]
    assert intervals.mean[1] == 0.5
    assert np.isnan([intervals.low[1], intervals.high[1], intervals.deviation[1], intervals.mean[0]]).all()


def test_an_infinite_loss_makes_the_mean_infinite_and_leaves_no_interval():
    intervals = descriptive.intervals(*flat([0.5, np.inf, 0.7]), 1, (0.0, np.inf))
    assert np.isinf(intervals.mean[0])
    assert np.isnan([intervals.low[0], intervals.high[0]]).all()


def test_equals_share_a_rank_and_what_is_not_known_has_none():
    assert descriptive.ranks(np.array([1.0, 3.0, 3.0, np.nan, 2.0, -np.inf])).tolist() == [4, 1, 1, 0, 3, 5]


def test_medians_of_even_odd_and_infinite_groups():
    values, groups = flat([4.0, 1.0], [5.0, 9.0, 6.0], [2.0, np.inf, np.inf])
    assert descriptive.medians(values, groups, 4).tolist() == pytest.approx(
        [2.5, 6.0, np.inf, np.nan], nan_ok=True
    )
    assert np.isnan(descriptive.medians(np.zeros(0), np.zeros(0, np.int64), 2)).all()


def test_a_trial_that_took_no_time_is_still_the_fastest():
    assert descriptive.ratios(np.array([0.0, 0.0, 2.0]), np.zeros(3, np.int64))[:2].tolist() == [1.0, 1.0]


def test_profile_score_is_the_area_up_to_four():
    from scipy import integrate

    ratios = np.array([1.0, 2.0, 7.0, np.inf])
    grid = np.linspace(1, 4, 30001)
    share = (ratios[None, :] <= grid[:, None]).mean(axis=1)
    score = descriptive.profile_scores(ratios, np.zeros(4, np.int64), 1)[0]
    assert score == pytest.approx(integrate.trapezoid(share, grid) / 3, abs=1e-4)
