"""Against scipy's root finder, Smyth's model itself, and numbers that R's limma gave."""

import doctest

import numpy as np
import pytest

from orchestrator.statistics import spread
from orchestrator.statistics.spread import CERTAIN, FLOOR, TypicalVariance, _inverse_trigamma, typical_variance

LIMMA = np.array([
    1.7837804639416141, 0.3241118662065507, 0.1875036220459308, 0.7340608406949436, 0.8484620091900335,
    0.4985470846431815, 0.8706791204448040, 2.1014900506235241, 0.4978305361821101, 1.9627067036621308,
    1.0949289573268002, 0.4588314586123042, 2.2923386473988114, 2.7849256010365417, 0.7314855758008360,
    1.4929731181234274, 1.0013626719215774, 1.6273398718171948, 0.5657860062757254, 0.4807812859121009,
])  # fmt: skip
"""Twenty sample variances of 5 degrees of freedom. They and the values below come from a test of a port of limma,
ModeratedTstatTest.java of PavlidisLab/baseCode; limma ends its iteration at eight digits."""
SQUEEZED = np.array([
    1.1346316090723296, 1.0235740856472144, 1.0131803748422601, 1.0547646708992309, 1.0634687770708084,
    1.0368458264983575, 1.0651591452526299, 1.1588042465600850, 1.0367913085772185, 1.1482450450878487,
    1.0822209848724207, 1.0338241001454640, 1.1733247839888614, 1.2108028027853293, 1.0545687342800276,
    1.1125058034815865, 1.0751020813423211, 1.1227289725756238, 1.0419616371185716, 1.0354941322769402,
])  # fmt: skip
"""What limma's squeezeVar(LIMMA, df = 5)$var.post is, in R."""
SQUEEZED_WITHOUT_ONE = {0: 1.08541236147134, 1: 0.997928715983356, 12: 1.11589224156236, 19: 1.00731852678945}
"""Some values of the same without the tenth variance, by their numbers in `LIMMA`."""
UNLIMITED = np.inf


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(spread).failed == 0
    assert doctest.testmod(spread).attempted > 3


@pytest.mark.parametrize("value", [1e-6, 1e-3, 0.1, 0.5, 1.0, 1.6449340668482264, 7.0, 1e3, 1e6])
def test_the_inverse_of_trigamma_is_that_of_a_root_finder(value: float) -> None:
    from scipy.optimize import brentq
    from scipy.special import polygamma

    root = brentq(lambda y: float(polygamma(1, y)) - value, 1e-4, 1e7, xtol=1e-14, rtol=1e-13)
    assert _inverse_trigamma(value) == pytest.approx(root, rel=1e-8)


def test_a_variance_is_drawn_as_far_as_by_limma() -> None:
    # Of limma's posterior variances, those that are not lowered.
    typical = typical_variance(LIMMA, np.full(20, 5.0), UNLIMITED)
    moderated, degrees = typical.moderate(LIMMA, np.full(20, 5.0))
    raised = SQUEEZED > LIMMA
    assert raised.sum() == 12
    assert moderated[raised] == pytest.approx(SQUEEZED[raised], rel=1e-9)
    assert moderated[~raised].tolist() == LIMMA[~raised].tolist()
    # Smyth's formula is a line through the variances, whose slope is d / (d0 + d) and whose fixed point is s0².
    slope, at_zero = np.polyfit(LIMMA, SQUEEZED, 1)
    assert typical.degrees == pytest.approx(5 / slope - 5, rel=1e-6)
    assert typical.variance == pytest.approx(at_zero / (1 - slope), rel=1e-7)
    assert degrees.tolist() == [typical.degrees + 5] * 20


def test_another_set_of_limma() -> None:
    without = np.delete(LIMMA, 9)
    typical = typical_variance(without, np.full(19, 5.0), UNLIMITED)
    for number, expected in SQUEEZED_WITHOUT_ONE.items():
        posterior = (typical.degrees * typical.variance + 5 * LIMMA[number]) / (typical.degrees + 5)
        assert posterior == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("floor", [0.0, FLOOR])
@pytest.mark.parametrize(("degrees", "true_degrees", "true_variance"), [(2, 4, 1.0), (4, 10, 0.03), (9, 3, 250.0)])
def test_the_model_is_recovered(
    degrees: int, true_degrees: float, true_variance: float, floor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "FLOOR", floor)
    draws = np.random.default_rng(3).f(degrees, true_degrees, 20_000)
    typical = typical_variance(true_variance * draws, np.full(20_000, float(degrees)), UNLIMITED)
    assert typical.variance == pytest.approx(true_variance, rel=0.03)
    # The floor hides some of the spread of the logs, so what is typical seems worth a little more.
    assert typical.degrees == pytest.approx(true_degrees, rel=0.10 if floor else 0.07)


def test_unequal_degrees_of_freedom_are_allowed_for() -> None:
    random = np.random.default_rng(4)
    degrees = random.integers(2, 9, 20_000).astype(np.float64)
    typical = typical_variance(random.f(degrees, 6.0), degrees, UNLIMITED)
    assert typical.variance == pytest.approx(1.0, rel=0.03)
    assert typical.degrees == pytest.approx(6.0, rel=0.06)


def test_equal_true_variances_are_worth_as_much_as_allowed() -> None:
    draws = np.random.default_rng(5).chisquare(4, 20_000) / 4
    typical = typical_variance(2.0 * draws, np.full(20_000, 4.0), UNLIMITED)
    assert typical.degrees > 100
    assert typical.variance == pytest.approx(2.0, rel=0.03)
    assert typical_variance(draws, np.full(20_000, 4.0), 30.0).degrees == 30.0
    assert typical_variance(np.full(4, 2.0), np.full(4, 3.0), UNLIMITED).degrees == CERTAIN


@pytest.mark.parametrize("variances", [[], [1.0], [0.0, 0.0], [0.0, 1.0], [np.nan, 1.0]])
def test_nothing_is_typical_of_fewer_than_two(variances: list[float]) -> None:
    typical = typical_variance(np.array(variances, np.float64), np.full(len(variances), 2.0), 6.0)
    assert typical == TypicalVariance(0.0, 0.0)
    unchanged = typical.moderate(np.array([0.0, 3.0]), np.array([2.0, 4.0]))
    assert [array.tolist() for array in unchanged] == [[0.0, 3.0], [2.0, 4.0]]


@pytest.mark.parametrize("limit", [0.0, -1.0])
def test_nothing_is_borrowed_where_nothing_may_be(limit: float) -> None:
    assert typical_variance(np.array([1.0, 2.0]), np.full(2, 2.0), limit).degrees == 0


def test_a_variance_by_chance_near_zero_does_not_decide_what_is_typical() -> None:
    variances = np.array([1.0, 1.2, 0.8, 1.1, 1e-30])
    degrees = np.full(5, 4.0)
    at_floor = np.append(variances[:4], FLOOR * np.median(variances))
    assert typical_variance(variances, degrees, 9.0) == typical_variance(at_floor, degrees, 9.0)
    assert typical_variance(variances, degrees, 9.0).variance > 0.1


def test_a_moderated_variance_is_never_lowered() -> None:
    random = np.random.default_rng(6)
    variances, degrees = random.chisquare(2, 50) / 2, np.full(50, 2.0)
    moderated, total = typical_variance(variances, degrees, 49.0).moderate(variances, degrees)
    assert (moderated >= variances).all()
    assert (moderated > variances).any()
    assert (total > degrees).all()
