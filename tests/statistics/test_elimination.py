"""Which recipes leave after a look: by hand, against scipy's paired t-test, and what changes no look."""

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.statistics import elimination
from orchestrator.statistics.descriptive import Floats
from orchestrator.statistics.elimination import error_of_a_look, look
from tests.support.score_matrices import IN_A_UNIT, scores

EXAMPLES = settings(deadline=None, derandomize=True)
SHIFTS = st.integers(-8 * IN_A_UNIT, 8 * IN_A_UNIT).map(lambda shift: shift / IN_A_UNIT)
ERROR = 0.05


def looked(values: Floats, error: float = ERROR) -> elimination.Look:
    """A look as a race makes it: recipes without a missing seed are reliable."""
    return look(values, ~np.isnan(values).any(axis=1), max(len(values) - 1, 1), error)


def test_no_example_in_the_docstrings_fails() -> None:
    assert doctest.testmod(elimination).failed == 0


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
def test_the_error_of_a_look_falls_with_the_looks_and_one_look_has_all_of_it(confidence: float) -> None:
    errors = [error_of_a_look(confidence, 3, most) for most in range(3, 100)]
    assert errors[0] == 1 - confidence
    assert errors == sorted(errors, reverse=True)
    assert 0 < errors[-1] < errors[0] / 2


@pytest.mark.parametrize("seed", range(20))
def test_two_recipes_are_told_apart_as_by_scipy(seed: int) -> None:
    from scipy import stats

    values = np.random.default_rng(seed).standard_normal((2, 5)) + np.array([[0.0], [1.5]])
    p = stats.ttest_rel(values[0], values[1], alternative="less").pvalue
    for error in (p * 0.999, p * 1.001):
        result = looked(values, error)
        assert result.out.tolist() == [p <= error, False]
        assert result.by.tolist() == [1 if p <= error else -1, -1]
    bound = stats.ttest_rel(values[1], values[0]).confidence_interval(1 - 2 * ERROR).high
    assert looked(values).behind_at_most[0] == pytest.approx(max(bound, 0.0), rel=1e-9)


def test_one_of_three_leaves_by_hand() -> None:
    values = np.array([[0.90, 0.91, 0.92], [0.90, 0.92, 0.91], [0.50, 0.51, 0.51]])
    result = looked(values)
    assert result.out.tolist() == [False, False, True]
    assert result.by[:2].tolist() == [-1, -1]
    assert result.by[2] in (0, 1)
    assert result.behind_at_most[2] > 0.39
    assert (result.behind_at_most[:2] < 0.1).all()


def test_more_comparisons_need_more_evidence() -> None:
    values = np.random.default_rng(3).standard_normal((2, 6)) + np.array([[0.0], [4.0]])
    reliable = np.ones(2, np.bool_)
    outs = [bool(look(values, reliable, comparisons, ERROR).out[0]) for comparisons in (1, 10, 100, 10**6)]
    assert outs[0]
    assert not outs[-1]
    assert outs == sorted(outs, reverse=True)


def test_the_same_scores_everywhere_tell_nothing() -> None:
    result = looked(np.full((4, 3), 0.9))
    assert not result.out.any()
    assert np.isnan(result.behind_at_most).all()


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (1, 0)])
def test_nobody_leaves_where_there_is_no_other(shape: tuple[int, int]) -> None:
    result = looked(np.zeros(shape))
    assert result.out.tolist() == [False] * shape[0]
    assert result.by.tolist() == [-1] * shape[0]


def test_a_recipe_with_a_diverged_seed_drops_nobody_and_is_dropped() -> None:
    missing = math.nan
    values = np.array([[0.90, 0.91, 0.92, missing], [0.50, 0.52, 0.51, 0.50], [0.20, 0.21, missing, 0.23]])
    result = looked(values)
    assert result.out.tolist() == [False, False, True]
    assert result.by.tolist() == [-1, -1, 1]
    assert not looked(values[[0, 2]]).out.any()


@EXAMPLES
@given(scores(seeds=(1, 5)), SHIFTS)
def test_no_effect_of_a_seed_changes_a_look(values: Floats, shift: float) -> None:
    shifted = values.copy()
    shifted[:, 0] += shift
    assert_same(looked(values), looked(shifted))


@EXAMPLES
@given(scores(), st.sampled_from([2.0**-10, 4.0, 2.0**7]))
def test_the_unit_of_the_scores_does_not_matter(values: Floats, unit: float) -> None:
    assert_same(looked(values), looked(values * unit), unit)


@EXAMPLES
@given(scores(), st.randoms(use_true_random=False))
def test_the_order_of_recipes_and_of_seeds_does_not_matter(values: Floats, random) -> None:
    recipes, seeds = [*range(values.shape[0])], [*range(values.shape[1])]
    random.shuffle(recipes)
    random.shuffle(seeds)
    before, after = looked(values), looked(values[recipes][:, seeds])
    np.testing.assert_array_equal(after.out, before.out[recipes])
    np.testing.assert_allclose(after.behind_at_most, before.behind_at_most[recipes], rtol=1e-6, atol=1e-9)


@EXAMPLES
@given(scores())
def test_seeds_that_all_lack_do_not_matter(values: Floats) -> None:
    wider = np.concatenate([values, np.full((len(values), 2), np.nan)], axis=1)
    reliable = ~np.isnan(values).any(axis=1)
    comparisons = max(len(values) - 1, 1)
    assert_same(look(values, reliable, comparisons, ERROR), look(wider, reliable, comparisons, ERROR))


@EXAMPLES
@given(scores())
def test_who_leaves_is_worse_than_a_reliable_one_that_stays_or_leaves(values: Floats) -> None:
    result = looked(values)
    for recipe in np.flatnonzero(result.out):
        better = result.by[recipe]
        assert not np.isnan(values[better]).any()
        assert np.nanmean(values[recipe] - values[better]) < 0
    assert ((result.by >= 0) == result.out).all()
    assert not result.out.all() or not len(result.out)


@EXAMPLES
@given(scores())
def test_nobody_leaves_where_no_recipe_is_reliable(values: Floats) -> None:
    assert not look(values, np.zeros(len(values), np.bool_), 1, ERROR).out.any()


def assert_same(first: elimination.Look, second: elimination.Look, unit: float = 1.0) -> None:
    """Both looks drop the same recipes; the differences of the second are in other units."""
    np.testing.assert_array_equal(first.out, second.out)
    np.testing.assert_allclose(first.behind_at_most * unit, second.behind_at_most, rtol=1e-6, atol=1e-9)
