"""Against scipy.stats, and against numbers worked out by hand."""

import doctest

import numpy as np
import pytest

from orchestrator.analysis import statistics

ANY = (-np.inf, np.inf)


def flat(*groups):
    """Values and group numbers, one list of values a group."""
    values = np.concatenate([np.asarray(g, np.float64) for g in groups])
    return values, np.repeat(np.arange(len(groups)), [len(g) for g in groups])


def test_examples_in_the_docstrings():
    assert doctest.testmod(statistics).failed == 0
    assert doctest.testmod(statistics).attempted > 8


def test_interval_by_hand_and_by_scipy():
    from scipy import stats

    intervals = statistics.intervals(*flat([0.90, 0.92, 0.94], [0.5, 0.7]), 2, ANY)
    # mean 0.92, deviation 0.02, t(0.975; 2) = 4.302653: half width 4.302653 * 0.02 / sqrt(3) = 0.049683
    assert intervals.n.tolist() == [3, 2]
    assert intervals.mean == pytest.approx([0.92, 0.6])
    assert intervals.deviation == pytest.approx([0.02, 0.1414214])
    assert intervals.low == pytest.approx([0.870317, 0.6 - 12.706205 * 0.1], abs=1e-6)
    assert intervals.high == pytest.approx([0.969683, 0.6 + 12.706205 * 0.1], abs=1e-6)
    reference = stats.t.interval(0.95, 2, 0.92, stats.sem([0.90, 0.92, 0.94]))
    assert (intervals.low[0], intervals.high[0]) == pytest.approx(reference)


def test_interval_is_clipped_to_what_an_accuracy_can_be():
    intervals = statistics.intervals(*flat([0.95, 0.99], [0.01, 0.05]), 2, (0.0, 1.0))
    assert intervals.high[0] == 1.0
    assert intervals.low[1] == 0.0
    assert intervals.low[0] == pytest.approx(0.97 - 12.706205 * 0.02)


def test_one_value_has_a_mean_and_no_interval_none_has_neither():
    intervals = statistics.intervals(np.array([0.5]), np.array([1]), 3, ANY)
    assert intervals.n.tolist() == [0, 1, 0]
    assert intervals.mean[1] == 0.5
    assert np.isnan([intervals.low[1], intervals.high[1], intervals.deviation[1], intervals.mean[0]]).all()


def test_an_infinite_loss_makes_the_mean_infinite_and_leaves_no_interval():
    intervals = statistics.intervals(*flat([0.5, np.inf, 0.7]), 1, (0.0, np.inf))
    assert np.isinf(intervals.mean[0])
    assert np.isnan([intervals.low[0], intervals.high[0]]).all()


def test_paired_test_by_hand_and_by_scipy():
    from scipy import stats

    winner, second = [0.93, 0.95, 0.94, 0.96], [0.90, 0.93, 0.93, 0.92]
    values, groups = flat(winner, second)
    differences = statistics.paired(values, groups, np.array([0, 1, 2, 3, 0, 1, 2, 3]), 0, 2)
    # -0.03 -0.02 -0.01 -0.04: mean -0.025, deviation 0.0129099, t = -3.872983 with 3 degrees of freedom
    assert differences.pairs.tolist() == [4, 4]
    assert differences.mean[1] == pytest.approx(-0.025)
    assert differences.p[1] == pytest.approx(0.0304664, abs=1e-6)
    assert differences.p[1] == pytest.approx(stats.ttest_rel(second, winner).pvalue)
    reference = stats.ttest_rel(second, winner).confidence_interval(0.95)
    assert (differences.low[1], differences.high[1]) == pytest.approx((reference.low, reference.high))


def test_pairs_are_made_by_seed_not_by_place():
    from scipy import stats

    values = np.array([0.1, 0.2, 0.4, 0.35, 0.12, 0.9])
    groups, seeds = np.array([0, 0, 0, 1, 1, 1]), np.array([7, 3, 5, 5, 7, 11])
    differences = statistics.paired(values, groups, seeds, 0, 2)
    assert differences.pairs[1] == 2
    assert differences.mean[1] == pytest.approx(((0.35 - 0.4) + (0.12 - 0.1)) / 2)
    assert differences.p[1] == pytest.approx(stats.ttest_rel([0.35, 0.12], [0.4, 0.1]).pvalue)


@pytest.mark.parametrize(
    ("second", "p"),
    [([0.9, 0.8], 1.0), ([0.8, 0.7], np.nan), ([0.8], np.nan), ([0.8, np.inf], np.nan)],
    ids=["equal in every seed", "the same difference in every seed", "one pair", "infinite"],
)
def test_where_there_is_no_spread_there_is_no_test(second, p):
    values, groups = flat([0.9, 0.8], second)
    seeds = np.concatenate([[0, 1], np.arange(len(second))])
    differences = statistics.paired(values, groups, seeds, 0, 2)
    assert differences.p[1] == pytest.approx(p, nan_ok=True)


def test_no_common_seed_and_no_winner():
    values, groups = flat([0.9, 0.8], [0.7, 0.6])
    unpaired = statistics.paired(values, groups, np.array([0, 1, 2, 3]), 0, 2)
    assert unpaired.pairs[1] == 0
    assert np.isnan(unpaired.p[1])
    no_winner = statistics.paired(values, groups, np.array([0, 1, 0, 1]), -1, 2)
    assert no_winner.pairs.tolist() == [0, 0]
    assert np.isnan(no_winner.p).all()


def test_holm_by_hand():
    # 4 tests: 0.005 * 4 = 0.02, 0.01 * 3 = 0.03, 0.03 * 2 = 0.06, and 0.04 * 1 may not fall below 0.06
    assert statistics.holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
    assert statistics.holm(np.array([np.nan])).tolist() == pytest.approx([np.nan], nan_ok=True)
    assert statistics.holm(np.zeros(0)).tolist() == []


def test_the_least_visible_difference_is_just_significant():
    for seeds, comparisons in ((3, 1), (3, 11), (5, 4)):
        factor = statistics.least_visible(seeds, comparisons)
        raw = np.arange(seeds, dtype=np.float64)
        differences = (raw - raw.mean()) / raw.std(ddof=1) + factor
        values, groups = flat(np.zeros(seeds), differences)
        differences = statistics.paired(values, groups, np.tile(np.arange(seeds), 2), 0, 2)
        assert differences.p[1] * comparisons == pytest.approx(0.05)


def test_equals_share_a_rank_and_what_is_not_known_has_none():
    assert statistics.ranks(np.array([1.0, 3.0, 3.0, np.nan, 2.0, -np.inf])).tolist() == [4, 1, 1, 0, 3, 5]


def test_medians_of_even_odd_and_infinite_groups():
    values, groups = flat([4.0, 1.0], [5.0, 9.0, 6.0], [2.0, np.inf, np.inf])
    assert statistics.medians(values, groups, 4).tolist() == pytest.approx([2.5, 6.0, np.inf, np.nan], nan_ok=True)
    assert np.isnan(statistics.medians(np.zeros(0), np.zeros(0, np.int64), 2)).all()


def test_a_trial_that_took_no_time_is_still_the_fastest():
    assert statistics.ratios(np.array([0.0, 0.0, 2.0]), np.zeros(3, np.int64))[:2].tolist() == [1.0, 1.0]


def test_profile_score_is_the_area_up_to_four():
    from scipy import integrate

    ratios = np.array([1.0, 2.0, 7.0, np.inf])
    grid = np.linspace(1, 4, 30001)
    share = (ratios[None, :] <= grid[:, None]).mean(axis=1)
    score = statistics.profile_scores(ratios, np.zeros(4, np.int64), 1)[0]
    assert score == pytest.approx(integrate.trapezoid(share, grid) / 3, abs=1e-4)
