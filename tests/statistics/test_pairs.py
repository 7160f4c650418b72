"""Against scipy's paired t-test, against loops, and against draws from the posterior distribution."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.statistics import pairs
from orchestrator.statistics.descriptive import Floats
from orchestrator.statistics.pairs import Pairs, compare
from tests.statistics import looped_pairs
from tests.support.score_matrices import IN_A_UNIT, scores

EXAMPLES = settings(deadline=None, derandomize=True)
SHIFTS = st.integers(-8 * IN_A_UNIT, 8 * IN_A_UNIT).map(lambda shift: shift / IN_A_UNIT)


def all_pairs(values: Floats) -> Pairs:
    """Each recipe against each."""
    return compare(values, np.arange(len(values)))


def fields(of: Pairs) -> dict[str, Floats]:
    """The arrays of the pairs, and what is derived from them."""
    return {
        "n": of.n.astype(np.float64),
        "mean": of.mean,
        "variance": of.variance,
        "degrees": of.degrees,
        "above": of.above(),
        "wins": of.wins(),
    }


def assert_equal(obtained: Pairs, expected: dict[str, Floats]) -> None:
    """All fields agree but for rounding errors."""
    for name, values in fields(obtained).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-7, atol=1e-12, err_msg=name)


def test_no_example_in_the_docstrings_fails() -> None:
    assert doctest.testmod(pairs).failed == 0


def test_two_recipes_are_tested_as_by_scipy() -> None:
    from scipy import stats

    values = np.array([[0.93, 0.95, 0.94, 0.96, 0.91], [0.90, 0.93, 0.93, 0.92, 0.92]])
    of = all_pairs(values)
    for k, c in ((0, 1), (1, 0)):
        expected = stats.ttest_rel(values[k], values[c], alternative="less")
        interval = stats.ttest_rel(values[k], values[c]).confidence_interval(0.95)
        half_width = of.quantile(np.array(0.975))[k, c] * of.error[k, c]
        assert of.mean[k, c] / of.error[k, c] == pytest.approx(expected.statistic, rel=1e-12)
        assert of.above()[k, c] == pytest.approx(expected.pvalue, rel=1e-12)
        assert of.mean[k, c] - half_width == pytest.approx(interval.low, rel=1e-12)
        assert of.mean[k, c] + half_width == pytest.approx(interval.high, rel=1e-12)
        assert (of.n[k, c], of.degrees[k, c]) == (5, 4)
    assert of.borrowed == 0


def test_pairs_are_made_by_seed() -> None:
    from scipy import stats

    gap = np.nan
    values = np.array([[0.91, 0.95, 0.94, gap, 0.96], [gap, 0.92, 0.93, 0.99, 0.92]])
    common = [1, 2, 4]
    expected = stats.ttest_rel(values[0, common], values[1, common], alternative="less")
    of = all_pairs(values)
    assert of.n.tolist() == [[4, 3], [3, 4]]
    assert of.above()[0, 1] == pytest.approx(expected.pvalue, rel=1e-12)
    assert of.degrees[0, 1] == 2


def test_a_third_recipe_lends_degrees_of_freedom() -> None:
    values = np.random.default_rng(1).standard_normal((3, 4))
    two, three = all_pairs(values[:2]), all_pairs(values)
    # Three recipes have 9 degrees together, the third 3: half of them may be lent.
    assert three.borrowed == 1.5
    assert three.degrees[0, 1] == two.degrees[0, 1] + 1.5
    assert three.variance[0, 1] >= two.variance[0, 1]
    assert three.mean[0, 1] == two.mean[0, 1]


def test_a_pair_of_rivals_counts_once() -> None:
    values = np.random.default_rng(2).standard_normal((5, 4))
    table = all_pairs(values)
    for rivals in ([4, 3, 2, 1, 0], [0, 2, 4, 1, 3]):
        of = compare(values, np.array(rivals))
        assert of.variance == pytest.approx(table.variance[:, rivals], rel=1e-12, nan_ok=True)
        assert of.borrowed == table.borrowed


def test_a_pair_that_agrees_in_every_seed_borrows_a_spread() -> None:
    values = np.array([[0.5, 0.6, 0.7], [0.4, 0.5, 0.6], [0.1, 0.9, 0.3], [0.3, 0.2, 0.8]])
    of = all_pairs(values)
    assert of.variance[0, 1] > 0
    alone = all_pairs(values[:2])
    assert not alone.tested.any()
    assert np.isnan(alone.above()).all()
    assert np.isnan(alone.wins()).all()
    assert alone.mean[0, 1] == pytest.approx(0.1)


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (3, 0), (3, 1)])
def test_too_few_recipes_or_seeds_are_not_tested(shape: tuple[int, int]) -> None:
    of = all_pairs(np.random.default_rng(3).random(shape))
    assert of.n.tolist() == [[shape[1]] * shape[0]] * shape[0]
    assert not of.tested.any()
    assert of.borrowed == 0


@EXAMPLES
@given(scores(), st.data())
def test_arrays_agree_with_loops(values: Floats, data: st.DataObject) -> None:
    rivals = data.draw(st.permutations(range(len(values))))[: data.draw(st.integers(1, len(values)))]
    expected = looped_pairs.compare(values.tolist(), rivals)
    of = compare(values, np.array(rivals, np.int64))
    for name, obtained in (("n", of.n), ("mean", of.mean), ("variance", of.variance), ("degrees", of.degrees)):
        looped = np.array([[getattr(pair, name) for pair in row] for row in expected], np.float64)
        np.testing.assert_allclose(obtained, looped, rtol=1e-7, atol=1e-13, err_msg=name)
    looped = np.array([[pair.above for pair in row] for row in expected])
    np.testing.assert_allclose(of.above(), looped, rtol=1e-6, atol=1e-12)


@EXAMPLES
@given(scores(), SHIFTS, st.data())
def test_what_is_common_to_all_changes_nothing(values: Floats, shift: float, data: st.DataObject) -> None:
    of_seed = data.draw(st.lists(SHIFTS, min_size=values.shape[1], max_size=values.shape[1]))
    expected = fields(all_pairs(values))
    assert_equal(all_pairs(values + shift), expected)
    assert_equal(all_pairs(values + np.array(of_seed)), expected)


@EXAMPLES
@given(scores(), st.floats(0.01, 100))
def test_another_unit_changes_no_probability(values: Floats, factor: float) -> None:
    expected = fields(all_pairs(values))
    expected |= {"mean": factor * expected["mean"], "variance": factor**2 * expected["variance"]}
    assert_equal(all_pairs(factor * values), expected)


@EXAMPLES
@given(scores(), st.data())
def test_another_order_of_recipes_is_another_order_of_pairs(values: Floats, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(values))))
    expected = {name: array[np.ix_(order, order)] for name, array in fields(all_pairs(values)).items()}
    assert_equal(all_pairs(values[order]), expected)


@EXAMPLES
@given(scores())
def test_a_rival_s_gain_is_the_recipe_s_loss(values: Floats) -> None:
    of = all_pairs(values)
    assert of.mean == pytest.approx(-of.mean.T, nan_ok=True)
    assert of.variance == pytest.approx(of.variance.T, nan_ok=True)
    assert of.above() == pytest.approx(1 - of.above().T, nan_ok=True)
    assert of.wins() == pytest.approx(1 - of.wins().T, nan_ok=True)


@pytest.mark.parametrize(("mean", "n", "degrees"), [(0.3, 3, 2.0), (1.5, 5, 7.5), (-0.7, 10, 30.0), (0.0, 4, 3.0)])
def test_wins_on_a_new_seed_as_draws_from_the_posterior(mean: float, n: int, degrees: float) -> None:
    deviation, draws = 0.8, 1_000_000
    of = Pairs(
        rivals=np.zeros(1, np.int64),
        n=np.array([[n]]),
        mean=np.array([[mean]]),
        variance=np.array([[deviation**2]]),
        degrees=np.array([[degrees]]),
        borrowed=0.0,
    )
    # First the true variance given the sample's, then the true mean, then the difference in a new seed.
    random = np.random.default_rng(5)
    true_deviation = deviation * np.sqrt(degrees / random.chisquare(degrees, draws))
    true_mean = mean + true_deviation / np.sqrt(n) * random.standard_normal(draws)
    new = true_mean + true_deviation * random.standard_normal(draws)
    assert of.wins()[0, 0] == pytest.approx((new > 0).mean(), abs=0.002)


def test_wins_are_less_sure_than_the_mean() -> None:
    of = all_pairs(np.array([[0.93, 0.95, 0.94, 0.96], [0.90, 0.93, 0.93, 0.92]]))
    assert 0.5 < of.wins()[0, 1] < of.above()[0, 1]
