"""The article's learning rates, as published and corrected, against tables written out; each fault named."""

import doctest
from typing import Any

import numpy as np
import pytest

from experiments.schedules import modelarts
from experiments.schedules.schedule import check, require, table

POWER = [0.1, 0.09191661, 0.08365116, 0.07517586, 0.06645398]
POWER += [0.05743492, 0.04804498, 0.03816779, 0.02759459, 0.01584893]
INVERSE_TIME = [0.1, 0.05050505, 0.03378378, 0.02538071, 0.0203252]
INVERSE_TIME += [0.01694915, 0.01453488, 0.01272265, 0.01131222, 0.0101833]
EXPONENTIAL = [0.08513399, 0.07247797, 0.06170339, 0.05253056, 0.04472136]
EXPONENTIAL += [0.03807308, 0.03241313, 0.02759459, 0.02349238, 0.02]
COSINE = [0.099, 0.09657973, 0.08955561, 0.0786145, 0.06482633]
COSINE += [0.04953942, 0.03424865, 0.02044929, 0.009490762, 0.002444676]
SGDR = [0.0099, 0.009657973, 0.008955561, 0.00786145, 0.006482633]
SGDR += [0.004953942, 0.003424865, 0.002044929, 0.0009490762, 0.0002444676]
RANGE_TEST = [
    *[1e-7, 2.6e-7, 4.2e-7, 5.8e-7, 7.4e-7],
    *[1e-6, 2.6e-6, 4.2e-6, 5.8e-6, 7.4e-6],
    *[1e-5, 2.6e-5, 4.2e-5, 5.8e-5, 7.4e-5],
    *[1e-4, 2.6e-4, 4.2e-4, 5.8e-4, 7.4e-4],
    *[1e-3, 2.6e-3, 4.2e-3, 5.8e-3, 7.4e-3],
    *[1e-2, 2.6e-2, 4.2e-2, 5.8e-2, 7.4e-2],
    *[0.1, 0.26, 0.42, 0.58, 0.74],
    1.0,
]
ONE_CYCLE_UP = [0.005555556, 0.01111111, 0.01666667, 0.02222222, 0.02777778, 0.03333333]
ONE_CYCLE_UP += [0.03888889, 0.04444444, 0.05, 0.05555556, 0.06111111, 0.06666667]
ONE_CYCLE_UP += [0.07222222, 0.07777778, 0.08333333, 0.08888889, 0.09444444, 0.1]
ONE_CYCLE_DOWN = [0.1045, 0.1037791, 0.1016383, 0.09814251, 0.09339791, 0.08754851]
ONE_CYCLE_DOWN += [0.08077184, 0.0732736, 0.0652814, 0.05703783, 0.0487931, 0.04079749]
ONE_CYCLE_DOWN += [0.03329369, 0.02650946, 0.02065074, 0.01589535, 0.01238764, 0.01023409]
ONE_CYCLE_TAIL = [1.642376e-05, 1.381068e-05, 1.161335e-05, 9.765625e-06]

# shape, base rate, epochs, the article's learning rate in each epoch
PUBLISHED: list[tuple[str, float | None, int, list[float]]] = [
    ("published-power", 0.1, 10, POWER),
    ("published-linear", 0.1, 10, INVERSE_TIME),
    ("published-exponential", 0.1, 10, EXPONENTIAL),
    ("published-cosine", 0.1, 10, COSINE),
    ("published-sgdr", 0.01, 40, SGDR * 4),
    ("published-range-test", None, 36, RANGE_TEST),
    ("published-one-cycle", 0.1, 40, ONE_CYCLE_UP + ONE_CYCLE_DOWN + ONE_CYCLE_TAIL),
]

CORRECTED_COSINE = [0.1, 0.0975773, 0.09054634, 0.07959537, 0.06579634]
CORRECTED_COSINE += [0.0505, 0.03520366, 0.02140463, 0.01045366, 0.003422702]
CORRECTED_SGDR = [0.01, 0.00975773, 0.009054634, 0.007959537, 0.006579634]
CORRECTED_SGDR += [0.00505, 0.003520366, 0.002140463, 0.001045366, 0.0003422702]
RISE = [0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.045, 0.05]
RISE += [0.055, 0.06, 0.065, 0.07, 0.075, 0.08, 0.085, 0.09, 0.095]
FALL = [0.1, 0.095, 0.09, 0.085, 0.08, 0.075, 0.07, 0.065, 0.06]
FALL += [0.055, 0.05, 0.045, 0.04, 0.035, 0.03, 0.025, 0.02, 0.015]
DECADE = [1.0, 1.584893, 2.511886, 3.981072, 6.309573]

# published shape, its fault as its docstring names it, the settings that mend it, epochs, learning rates
CORRECTED: list[tuple[str, str, dict[str, Any], int, list[float]]] = [
    ("published-power", "its grain", {"name": "power", "exponent": 0.8, "peak": 0.1}, 10, POWER),
    (
        "published-linear",
        "the name",
        {"name": "linear", "final": 0, "peak": 0.1},
        10,
        [0.1, 0.09, 0.08, 0.07, 0.06, 0.05, 0.04, 0.03, 0.02, 0.01],
    ),
    (
        "published-linear",
        "the name",
        {"name": "inverse-time", "decay_rate": 0.98, "peak": 0.1},
        10,
        INVERSE_TIME,
    ),
    (
        "published-exponential",
        "e+1",
        {"name": "exponential", "factor": 0.2, "every": 10, "peak": 0.1},
        10,
        [0.1, *EXPONENTIAL[:9]],
    ),
    (
        "published-cosine",
        "is not added back",
        {"name": "cosine", "final": 0.01, "peak": 0.1},
        10,
        CORRECTED_COSINE,
    ),
    (
        "published-sgdr",
        "those of the cosine",
        {"name": "sgdr", "period": 10, "final": 0.01, "peak": 0.01},
        40,
        CORRECTED_SGDR * 4,
    ),
    (
        "published-range-test",
        "uneven steps",
        {"name": "range-test", "start": 1e-7, "end": 1.584893},
        36,
        [10.0**power * step for power in range(-7, 0) for step in DECADE] + [1.0],
    ),
    (
        "published-one-cycle",
        "forgets to subtract 36",
        {
            "name": "one-cycle",
            "up": 0.45,
            "down": 0.45,
            "tail": 0.1,
            "start_division": 10,
            "final_division": 20,
            "peak": 0.1,
        },
        40,
        [*RISE, *FALL, 0.01, 0.00875, 0.0075, 0.00625],
    ),
]


@pytest.mark.parametrize(("name", "peak", "epochs", "expected"), PUBLISHED)
def test_as_published(name: str, peak: float | None, epochs: int, expected: list[float]) -> None:
    schedule = check("s", name, {} if peak is None else {"peak": peak})
    require("s", schedule, epochs)
    rates = table(schedule, 1.0, epochs, 3)
    np.testing.assert_allclose(rates, np.array(expected)[:, None].repeat(3, axis=1), rtol=5e-7)


@pytest.mark.parametrize(("name", "fault", "mended", "epochs", "expected"), CORRECTED)
def test_corrected(name: str, fault: str, mended: dict[str, Any], epochs: int, expected: list[float]) -> None:
    rates = table(check("s", "corrected", {**mended, "by": "epoch"}), 1.0, epochs, 1)
    np.testing.assert_allclose(rates[:, 0], expected, rtol=1e-6)
    said = " ".join((modelarts.ROWS[name].function.__doc__ or "").split())
    assert fault in said
    assert mended["name"] in said.partition("Corrected")[2]


def test_every_published_formula_stands_in_both_lists() -> None:
    assert {case[0] for case in PUBLISHED} == {case[0] for case in CORRECTED} == set(modelarts.ROWS)


@pytest.mark.parametrize(
    ("name", "peak", "epochs", "expected"),
    [case for case in PUBLISHED if case[0].endswith(("linear", "sgdr", "range-test", "one-cycle"))],
)
def test_formulas_of_the_epoch_alone_go_on(
    name: str, peak: float | None, epochs: int, expected: list[float]
) -> None:
    """Three epochs of a 40-epoch recipe are its first three, and a longer run only adds to it."""
    schedule = check("s", name, {} if peak is None else {"peak": peak})
    np.testing.assert_allclose(table(schedule, 1.0, 3, 1)[:, 0], expected[:3], rtol=5e-7)
    longer = table(schedule, 1.0, epochs + 10, 1)
    assert longer[:epochs].tobytes() == table(schedule, 1.0, epochs, 1).tobytes()


def test_the_tail_goes_on_halving_every_four_epochs() -> None:
    rates = table(check("s", "published-one-cycle", {"peak": 0.1}), 1.0, 44, 1)[:, 0]
    np.testing.assert_allclose(rates[40:], [8.211879e-06, 6.905340e-06, 5.806675e-06, 4.8828125e-06], rtol=5e-7)


def test_examples() -> None:
    assert doctest.testmod(modelarts).failed == 0
