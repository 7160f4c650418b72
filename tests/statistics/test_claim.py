"""Against loops, least squares, scipy's Dunnett test and draws; and what has to hold for any scores."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.statistics import claim as module
from orchestrator.statistics.claim import Claim, claim, probability_of_best, shrunken
from orchestrator.statistics.descriptive import LEVEL, Bools, Floats, Ints
from orchestrator.statistics.pairs import RIVALS, Pairs, compare
from tests.statistics import looped_pairs
from tests.support.score_matrices import IN_A_UNIT, scores

DRAWS = 1_000_000
EXAMPLES = settings(deadline=None, derandomize=True)
SHIFTS = st.integers(-8 * IN_A_UNIT, 8 * IN_A_UNIT).map(lambda shift: shift / IN_A_UNIT)


def best_first(values: Floats, reliable: Bools) -> Ints:
    """The recipes by their means, those that are not reliable behind the others."""
    n = np.isfinite(values).sum(axis=1)
    means = np.nan_to_num(values).sum(axis=1) / np.maximum(n, 1)
    return np.lexsort((np.arange(len(values)), -means.round(9), n == 0, ~reliable))


def claimed(values: Floats, reliable: Bools | None = None) -> Claim:
    """The claim about all recipes with a result; all are reliable unless told."""
    certain = np.ones(len(values), np.bool_) if reliable is None else reliable
    return claim(values, best_first(values, certain), np.isfinite(values).any(axis=1), certain, LEVEL)


def recipes(*means: float, seeds: int = 5, deviation: float = 1.0, number: int = 0) -> Floats:
    """Recipes of these true means with a common effect of each seed."""
    random = np.random.default_rng(number)
    noise = deviation * random.standard_normal((len(means), seeds))
    return np.array(means)[:, None] + random.standard_normal(seeds) + noise


def assert_same(
    obtained: Claim, expected: Claim, order: Ints | None = None, value: float = 0, by: float = 1
) -> None:
    """Both claim the same, the obtained one of recipes in `order` and scores `by` times as large plus `value`."""
    order = np.arange(len(expected.p)) if order is None else order
    np.testing.assert_allclose(obtained.p, expected.p[order], rtol=1e-6, atol=1e-11)
    assert obtained.in_set.tolist() == expected.in_set[order].tolist()
    np.testing.assert_allclose(obtained.behind_at_most, by * expected.behind_at_most[order], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(obtained.best_probability, expected.best_probability[order], rtol=1e-5, atol=1e-6)
    assert (obtained.winner is None) == (expected.winner is None)
    if obtained.winner and expected.winner:
        for name in ("value", "low", "high"):
            shifted = by * getattr(expected.winner, name) + value
            assert getattr(obtained.winner, name) == pytest.approx(shifted, rel=1e-6, abs=1e-8), name


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 1


@EXAMPLES
@given(scores(), st.data())
def test_the_set_agrees_with_loops(values: Floats, data: st.DataObject) -> None:
    reliable = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
    compared = np.isfinite(values).any(axis=1)
    order = best_first(values, reliable)
    of = claim(values, order, compared, reliable, LEVEL)
    rivals = [int(recipe) for recipe in order if compared[recipe]]
    eligible = (compared & reliable).tolist()
    p = looped_pairs.smallest_p(values.tolist(), rivals, eligible)
    np.testing.assert_allclose(of.p, p, rtol=1e-6, atol=1e-12)
    borderline = np.abs(np.array(p) - (1 - LEVEL)) < 1e-6
    in_set = [bool(has_result) and not value <= 1 - LEVEL for has_result, value in zip(compared, p, strict=True)]
    assert of.in_set[~borderline].tolist() == np.array(in_set, np.bool_)[~borderline].tolist()
    behind = looped_pairs.behind_at_most(values.tolist(), rivals, eligible, LEVEL)
    np.testing.assert_allclose(of.behind_at_most, behind, rtol=1e-6, atol=1e-9)


@EXAMPLES
@given(scores(), SHIFTS)
def test_a_constant_moves_the_value_alone(values: Floats, shift: float) -> None:
    assert_same(claimed(values + shift), claimed(values), value=shift)


@EXAMPLES
@given(scores(), st.data())
def test_an_effect_of_a_seed_on_all_recipes_changes_no_comparison(values: Floats, data: st.DataObject) -> None:
    effects = np.array(data.draw(st.lists(SHIFTS, min_size=values.shape[1], max_size=values.shape[1])))
    complete = np.nan_to_num(values, nan=0.5)
    before, after = claimed(complete), claimed(complete + effects)
    np.testing.assert_allclose(after.p, before.p, rtol=1e-6, atol=1e-11)
    assert after.in_set.tolist() == before.in_set.tolist()
    np.testing.assert_allclose(after.behind_at_most, before.behind_at_most, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(after.best_probability, before.best_probability, rtol=1e-5, atol=1e-6)


@EXAMPLES
@given(scores(), st.floats(0.01, 100))
def test_another_unit_leaves_probabilities_and_the_set(values: Floats, factor: float) -> None:
    assert_same(claimed(factor * values), claimed(values), by=factor)


@EXAMPLES
@given(scores(), st.data())
def test_recipes_in_another_order(values: Floats, data: st.DataObject) -> None:
    # Equal means stand in the order of their numbers, so the first of several may be another recipe.
    order = np.array(data.draw(st.permutations(range(len(values)))))
    everyone = np.ones(len(values), np.bool_)
    first = best_first(values, everyone)
    compared = np.isfinite(values).any(axis=1)
    expected = claim(values, first, compared, everyone, LEVEL)
    place = np.argsort(order)
    obtained = claim(values[order], place[first], compared[order], everyone, LEVEL)
    assert_same(obtained, expected, order)


@EXAMPLES
@given(scores(), st.data())
def test_what_holds_for_any_scores(values: Floats, data: st.DataObject) -> None:
    reliable = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
    compared = np.isfinite(values).any(axis=1)
    of = claimed(values, reliable)
    assert (of.in_set <= compared).all()
    assert (of.in_set[compared & np.isnan(of.p)]).all()
    known = ~np.isnan(of.behind_at_most)
    assert (of.behind_at_most[known] >= 0).all()
    # No bound is smaller than what was observed.
    columns = reliable[of.pairs.rivals]
    observed = np.max(np.where(of.pairs.tested[:, columns], -of.pairs.mean[:, columns], 0.0), axis=1, initial=0.0)
    assert (of.behind_at_most[known] >= observed[known] - 1e-12).all()
    candidates = compared & reliable
    assert np.isnan(of.best_probability[~compared]).all()
    assert np.isnan(of.best_probability[compared & ~reliable]).all()
    if candidates.any() and not np.isnan(of.best_probability[candidates]).any():
        assert of.best_probability[candidates].sum() == pytest.approx(1)
    if of.winner is not None:
        winner = best_first(values, reliable)[0]
        mean = float(np.nanmean(values[winner]))
        assert of.winner.low < mean < of.winner.high
        assert mean - of.winner.low >= (of.winner.high - mean) * (1 - 1e-9)
        assert of.winner.value <= mean + 1e-12


def test_one_recipe_is_the_best_and_has_student_s_interval() -> None:
    from scipy import stats

    values = np.array([[0.90, 0.92, 0.94]])
    of = claimed(values)
    assert of.in_set.tolist() == [True]
    assert np.isnan([of.p[0], of.behind_at_most[0]]).all()
    assert of.best_probability.tolist() == [1.0]
    assert of.winner is not None
    expected = stats.t.interval(LEVEL, 2, 0.92, stats.sem(values[0]))
    assert (of.winner.value, of.winner.low, of.winner.high) == pytest.approx((0.92, *expected))


def test_without_a_recipe_or_a_seed_nothing_is_claimed() -> None:
    for shape in ((0, 3), (3, 0), (1, 0)):
        of = claimed(np.zeros(shape))
        assert not of.in_set.any()
        assert of.winner is None
        assert np.isnan(of.best_probability).all()


def test_a_recipe_with_one_seed_stays_in_the_set() -> None:
    values = np.array([[0.90, 0.91, 0.92], [0.10, np.nan, np.nan], [0.50, 0.52, 0.51]])
    of = claimed(values)
    assert of.in_set.tolist() == [True, True, False]
    assert np.isnan([of.p[1], of.behind_at_most[1]]).all()
    # Its rivals have no bound either: it may be ahead of them by any amount.
    assert np.isnan(of.behind_at_most).all()


def test_a_first_recipe_without_a_common_seed_rules_out_none() -> None:
    gap = np.nan
    values = np.array([[0.9, gap, gap, gap], [gap, 0.5, 0.6, 0.5], [gap, 0.4, 0.5, 0.6]])
    of = claimed(values)
    assert np.isnan(of.p[0])
    assert of.in_set.all()
    assert of.winner is None
    assert not of.pairs.tested[0].any()


def test_equal_values_everywhere_are_not_told_apart() -> None:
    of = claimed(np.full((4, 3), 0.5))
    assert of.in_set.all()
    assert np.isnan(of.p).all()
    assert np.isnan(of.best_probability).all()
    assert of.winner is None


def test_recipes_far_apart_leave_the_best_alone() -> None:
    of = claimed(recipes(100.0, 0.0, 50.0))
    assert of.in_set.tolist() == [True, False, False]
    assert of.best_probability == pytest.approx([1, 0, 0])
    assert of.behind_at_most[0] == 0
    assert of.behind_at_most[1] == pytest.approx(100, abs=5)


def test_a_recipe_with_diverged_seeds_rules_out_none_and_may_be_ruled_out() -> None:
    values = recipes(0.0, 0.0, 100.0, -100.0)
    values[2, 0] = values[3, 0] = np.nan
    of = claimed(values, np.array([True, True, False, False]))
    assert of.in_set.tolist() == [True, True, True, False]
    assert np.isnan(of.best_probability[2:]).all()


def test_a_recipe_that_is_not_compared_counts_in_nothing() -> None:
    values = recipes(0.0, 0.2, 1.0, 0.1)
    compared = np.array([True, True, False, True])
    order = best_first(values, np.ones(4, np.bool_))
    with_it = claim(values, order, compared, np.ones(4, np.bool_), LEVEL)
    without = claimed(values[compared])
    for name in ("p", "behind_at_most", "best_probability"):
        assert getattr(with_it, name)[compared] == pytest.approx(getattr(without, name)), name
    assert with_it.winner == without.winner
    assert np.isnan([with_it.p[2], with_it.best_probability[2]]).all()
    assert not with_it.in_set[2]


def test_more_recipes_than_rivals() -> None:
    values = recipes(*np.linspace(10, 0, RIVALS + 5))
    of = claimed(values)
    assert of.pairs.mean.shape == (RIVALS + 5, RIVALS)
    assert of.in_set[0]
    behind_all = best_first(values, np.ones(len(values), np.bool_))[RIVALS:]
    assert not of.in_set[behind_all].any()
    assert (of.best_probability[behind_all] == 0).all()
    assert of.best_probability.sum() == pytest.approx(1)


def test_bonferroni_s_set_contains_dunnett_s() -> None:
    from scipy import stats

    sizes = []
    for number in range(6):
        values = np.random.default_rng(number).standard_normal((5, 4)) + np.array([[0, 0, 1, 2, 3]]).T
        pooled, degrees = values.var(axis=1, ddof=1).mean(), 5 * 3
        count = np.full((5, 5), 4)
        off_diagonal = np.where(np.eye(5) > 0, np.nan, 1.0)
        pairs = Pairs(
            rivals=np.arange(5),
            n=count,
            mean=values.mean(axis=1)[:, None] - values.mean(axis=1)[None, :],
            variance=2 * pooled * off_diagonal,
            degrees=degrees * off_diagonal,
            borrowed=0.0,
        )
        p, _ = module._tests(pairs, np.ones(5, np.bool_), LEVEL)
        exact = [
            stats.dunnett(
                *np.delete(values, recipe, axis=0), control=values[recipe], alternative="greater", rng=1
            ).pvalue.min()
            for recipe in range(5)
        ]
        # Bonferroni's p is the larger, and by little where it matters.
        assert (p >= np.array(exact) - 1e-3).all()
        near = (np.array(exact) > 0.005) & (np.array(exact) < 0.06)
        assert (p[near] < 1.4 * np.array(exact)[near]).all()
        sizes.append((int((np.array(exact) > 0.05).sum()), int((p > 0.05).sum())))
    assert all(exact <= ours for exact, ours in sizes)
    assert min(ours for _, ours in sizes) < 5


@pytest.mark.parametrize(
    ("means", "errors"),
    [
        ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
        ([1.0, 0.5, 0.0, -3.0], [0.5, 1.0, 2.0, 0.1]),
        ([0.90, 0.91, 0.92], [0.01, 0.005, 0.02]),
        (list(np.linspace(0, 2, 8)), [0.7] * 8),
    ],
)
def test_the_probability_of_being_the_best_as_by_draws(means: list[float], errors: list[float]) -> None:
    center, deviation = np.array(means), np.array(errors)
    drawn = center + deviation * np.random.default_rng(8).standard_normal((DRAWS, len(means)))
    share = np.bincount(drawn.argmax(axis=1), minlength=len(means)) / DRAWS
    probability = probability_of_best(center, deviation)
    assert probability.sum() == pytest.approx(1)
    # Four standard errors of the draws, and the integral's own error.
    assert probability == pytest.approx(share, abs=0.003)
    _, excess = module._integrals(center, deviation)
    best = drawn.argmax(axis=1)
    assert excess.sum() == pytest.approx((drawn.max(axis=1) - center[best]).mean(), rel=0.02)


@pytest.mark.parametrize("lead", [0.0, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("errors", [(1.0, 1.0), (0.2, 1.5)])
def test_of_two_recipes_the_probability_is_known(lead: float, errors: tuple[float, float]) -> None:
    from scipy.stats import norm

    expected = norm.cdf(lead / np.hypot(*errors))
    probability = probability_of_best(np.array([lead, 0.0]), np.array(errors))
    assert probability == pytest.approx([expected, 1 - expected], abs=0.002)


def test_without_any_error_the_largest_mean_is_the_best() -> None:
    exact = np.zeros(3)
    assert probability_of_best(np.array([1.0, 2.0, 0.0]), exact).tolist() == [0, 1, 0]
    assert probability_of_best(np.array([2.0, 2.0, 0.0]), exact).tolist() == [0.5, 0.5, 0]
    assert np.isnan(probability_of_best(np.array([1.0, 2.0]), np.array([0.1, np.nan]))).all()
    one_exact = probability_of_best(np.array([0.0, 0.0]), np.array([0.0, 1.0]))
    assert one_exact == pytest.approx([0.5, 0.5], abs=0.01)


def test_shrunken_by_its_formula() -> None:
    means, errors = [0.2, 0.9, 0.4, 1.3], [0.1, 0.3, 0.2, 0.25]
    center = sum(means) / 4
    between = sum((m - center) ** 2 for m in means) / 3 - sum(e**2 for e in errors) / 4
    assert between > 0
    posterior, deviations = shrunken(np.array(means), np.array(errors))
    for m, e, p, d in zip(means, errors, posterior, deviations, strict=True):
        # Two normal sources of knowledge add their precisions.
        assert 1 / d**2 == pytest.approx(1 / between + 1 / e**2)
        assert p / d**2 == pytest.approx(center / between + m / e**2)


def test_shrunken_means_are_nearer_to_the_truth() -> None:
    random = np.random.default_rng(9)
    raw = better = 0.0
    for _ in range(200):
        truth, errors = random.standard_normal(60), np.full(60, 0.8)
        means = truth + errors * random.standard_normal(60)
        raw += float(((means - truth) ** 2).sum())
        better += float(((shrunken(means, errors)[0] - truth) ** 2).sum())
    # With the true variance of the means, 1, the squared error would be 1 / (1 + 0.64) of the raw one.
    assert better / raw == pytest.approx(1 / 1.64, rel=0.06)


def test_means_that_differ_by_chance_alone_are_all_the_centre() -> None:
    posterior, deviations = shrunken(np.array([0.1, -0.1, 0.05]), np.ones(3))
    assert posterior == pytest.approx(np.full(3, 0.05 / 3))
    assert deviations.tolist() == [0, 0, 0]
    assert probability_of_best(posterior, deviations) == pytest.approx([1 / 3] * 3)


def test_the_errors_of_two_recipes_are_halves_of_their_difference() -> None:
    values = recipes(0.0, 0.3, seeds=6, number=3)
    means, errors = module._means_and_errors(values, compare(values, np.arange(2)), np.arange(2))
    assert means == pytest.approx(values.mean(axis=1))
    assert errors == pytest.approx([np.std(values[0] - values[1], ddof=1) / np.sqrt(2 * 6)] * 2)


def test_the_errors_are_each_recipe_s_own_without_what_a_seed_does_to_all() -> None:
    random = np.random.default_rng(0)
    deviations = np.array([0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 8.0])[:, None]
    values = deviations * random.normal(size=(7, 2_000)) + 20 * random.normal(size=2_000)
    _, errors = module._means_and_errors(values, compare(values, np.arange(7)), np.arange(7))
    # An unstable recipe does not make calm ones look unstable.
    assert errors * np.sqrt(2_000) == pytest.approx(deviations[:, 0], rel=0.35)


def test_an_unstable_recipe_does_not_lower_the_value_of_a_calm_winner() -> None:
    calm = 0.97 - 0.01 * np.arange(6)[:, None] + 0.002 * np.random.default_rng(0).normal(size=(6, 5))
    unstable = np.array([[0.95, 0.3, 0.9, 0.4, 0.85], [0.9, 0.2, 0.95, 0.5, 0.7]])
    alone, beside = claimed(calm).winner, claimed(np.vstack([calm, unstable])).winner
    assert alone is not None
    assert beside is not None
    assert beside.low < beside.value <= alone.value == pytest.approx(calm[0].mean(), abs=0.001)
    assert beside.value == pytest.approx(alone.value, abs=0.005)


def test_the_winner_s_value_is_lowered_by_what_the_choice_adds() -> None:
    equal = claimed(recipes(*[0.0] * 10, seeds=4, number=1))
    apart = claimed(recipes(100.0, *[0.0] * 9, seeds=4, number=1))
    assert equal.winner is not None
    assert apart.winner is not None
    means = recipes(*[0.0] * 10, seeds=4, number=1).mean(axis=1)
    # The largest of ten equal recipes exceeds its own mean by 1.54 deviations; a recipe far ahead by nothing.
    assert 0.5 < means.max() - equal.winner.value < 1.1
    assert apart.winner.value == pytest.approx(recipes(100.0, *[0.0] * 9, seeds=4, number=1)[0].mean())


def test_the_winner_s_interval_by_its_formula() -> None:
    from scipy.stats import t

    values = recipes(1.0, 0.5, 0.0, seeds=5, number=4)
    of = claimed(values)
    winner = int(best_first(values, np.ones(3, np.bool_))[0])
    sampled = [float(row.var(ddof=1)) for row in values]
    # Three recipes have 12 degrees of freedom together, the other two 8, and half of those may be lent.
    variance0, degrees0 = looped_pairs.typical([(variance, 4) for variance in sampled], 4.0)
    variance = max(sampled[winner], (degrees0 * variance0 + 4 * sampled[winner]) / (degrees0 + 4))
    error = np.sqrt(variance / 5)
    _, errors = module._means_and_errors(values, of.pairs, np.arange(3))
    correlation = 1 - float(np.median(errors**2 * 5)) / float(np.median(sampled))
    assert 0.1 < correlation < 0.9
    alone = t.ppf(0.975, 4 + degrees0 * (1 - correlation**2) / (1 + 2 * correlation**2))
    chosen = t.ppf(1 - 0.025 / 3, 4 + degrees0)
    assert of.winner is not None
    assert of.winner.low == pytest.approx(values[winner].mean() - max(alone, chosen) * error)
    assert of.winner.high == pytest.approx(values[winner].mean() + alone * error)


def test_the_effect_of_a_seed_on_all_recipes_lends_the_winner_no_certainty() -> None:
    from scipy import stats

    values = recipes(*[0.0] * 20, seeds=3) + 1e6 * np.array([0.0, 0.7, 1.0])
    of = claimed(values)
    winner = values[best_first(values, np.ones(20, np.bool_))[0]]
    low, high = stats.t.interval(LEVEL, 2, winner.mean(), stats.sem(winner))
    assert of.winner is not None
    assert of.winner.low < low
    assert high < of.winner.high < winner.mean() + 1.4 * (high - winner.mean())
    assert winner.mean() - of.winner.low == pytest.approx(of.winner.high - winner.mean())
    assert of.pairs.degrees[0, 1] > 10


def test_the_luckiest_of_equal_recipes_is_not_called_the_best() -> None:
    raw, shown = [], []
    for number in range(100):
        values = recipes(*[0.0] * 20, seeds=3, number=number)
        of = claimed(values)
        shown.append(of.best_probability.max())
        raw.append(probability_of_best(*module._means_and_errors(values, of.pairs, np.arange(20))).max())
    # The true probability of each is 0.05.
    assert np.mean(shown) < 0.15 < np.mean(raw)


def test_recipes_without_a_common_seed_lend_the_upper_end_no_certainty() -> None:
    gap = np.nan
    of = claimed(np.array([[0.90, 0.92, 0.94, gap, gap, gap], [gap, gap, gap, 0.80, 0.81, 0.83]]))
    assert of.winner is not None
    # With the borrowed degree of freedom the upper end would be 0.76 of this.
    assert of.winner.high - 0.92 == pytest.approx(0.92 - of.winner.low)
    assert np.isnan(of.best_probability).all()
