"""Every shape that rises again, against fractions written out by hand."""

import doctest
from typing import Any

import numpy as np
import pytest

from experiments.schedules import cyclic
from experiments.schedules.cyclic import ROWS
from experiments.schedules.decays import times
from experiments.settings import InputError

FOUR = [1, 0.8535534, 0.5, 0.1464466]
EIGHT = [1, 0.9619398, 0.8535534, 0.6913417, 0.5, 0.3086583, 0.1464466, 0.03806023]

# shape, settings, epochs, the fractions of the peak at the beginning of each epoch
CASES: list[tuple[str, dict[str, Any], int, list[float]]] = [
    ("sgdr", {"period": 4}, 10, [*FOUR, *FOUR, 1, 0.8535534]),
    ("sgdr", {"period": 2, "multiplier": 2}, 15, [1, 0.5, *FOUR, *EIGHT, 1]),
    ("sgdr", {"period": 2, "final": 0.1}, 4, [1, 0.55, 1, 0.55]),
    ("sgdr", {"period": 2, "peak_decay": 0.5}, 6, [1, 0.5, 0.5, 0.25, 0.25, 0.125]),
    ("sgdr", {"period": 2, "peak_decay": 0.5, "final": 0.4}, 6, [1, 0.7, 0.5, 0.45, 0.4, 0.4]),
    ("sgdr", {"period": 1, "multiplier": 3}, 5, [1, 1, 0.75, 0.25, 1]),
    (
        "one-cycle",
        {"up": 0.4, "down": 0.4, "tail": 0.2, "start_division": 10, "final_division": 100},
        10,
        [0.1, 0.325, 0.55, 0.775, 1, 0.775, 0.55, 0.325, 0.1, 0.055],
    ),
    (
        "one-cycle",
        {"up": 0.5, "down": 0.5, "tail": 0, "start_division": 4},
        8,
        [0.25, 0.4375, 0.625, 0.8125, 1, 0.8125, 0.625, 0.4375],
    ),
    ("one-cycle", {"up": 0, "down": 1, "tail": 0, "start_division": 2}, 2, [1, 0.75]),
    ("triangular", {"period": 4, "base": 0.2}, 6, [0.2, 0.6, 1, 0.6, 0.2, 0.6]),
    ("triangular", {}, 9, [0.25, 0.4375, 0.625, 0.8125, 1, 0.8125, 0.625, 0.4375, 0.25]),
    (
        "triangular2",
        {"period": 4, "base": 0.2},
        12,
        [0.2, 0.6, 1, 0.6, 0.2, 0.4, 0.6, 0.4, 0.2, 0.3, 0.4, 0.3],
    ),
    (
        "exp-range",
        {"period": 4, "base": 0.2, "gamma": 0.9},
        7,
        [0.2, 0.56, 0.848, 0.4916, 0.2, 0.436196, 0.6251528],
    ),
    (
        "warm-up-stable-decay",
        {"warmup_epochs": 2, "decay_fraction": 0.4},
        10,
        [0, 0.5, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25],
    ),
    (
        "warm-up-stable-decay",
        {"warmup_epochs": 0, "decay_fraction": 0.4, "exponent": 0.5, "final": 0.2},
        10,
        [1, 1, 1, 1, 1, 1, 1, 0.6, 0.4343146, 0.3071797],
    ),
]


@pytest.mark.parametrize(("name", "given", "epochs", "expected"), CASES)
def test_against_numbers_written_out(name: str, given: dict[str, Any], epochs: int, expected: list[float]) -> None:
    settings = ROWS[name].check(name, given)
    values = ROWS[name].function(times(epochs, 1), float(epochs), **settings)
    np.testing.assert_allclose(values[:, 0], expected, rtol=3e-7)


def test_every_shape_has_a_case() -> None:
    assert {case[0] for case in CASES} == set(ROWS)


def test_examples() -> None:
    assert doctest.testmod(cyclic).failed == 0


def test_moves_inside_the_epoch() -> None:
    values = cyclic.sgdr(times(2, 4), 2.0, period=1.0)
    np.testing.assert_allclose(values, [FOUR, FOUR], rtol=3e-7)


@pytest.mark.parametrize("multiplier", [1.0, 1.5, 2.0, 3.0])
def test_restarts_come_on_time(multiplier: float) -> None:
    """At the very step a period ends the rate is the peak again, although times are inexact."""
    steps, begin, length = 10, 0.0, 0.3
    starts = []
    while begin < 30:
        starts.append(begin)
        begin, length = begin + length, length * multiplier
    at_starts = np.array([starts])
    np.testing.assert_array_equal(cyclic.sgdr(at_starts, 30.0, period=0.3, multiplier=multiplier), 1.0)
    by_step = cyclic.sgdr(times(3, steps), 3.0, period=0.3)
    assert by_step.reshape(-1)[::3].tolist() == [1.0] * 10


def test_stable_part_is_the_peak_itself() -> None:
    """To the bit, so that it shares its epochs with a constant rate and with runs of other lengths."""
    short = cyclic.warm_up_stable_decay(times(10, 7), 10.0, warmup_epochs=2.0)
    long = cyclic.warm_up_stable_decay(times(20, 7), 20.0, warmup_epochs=2.0)
    assert (short[2:8] == 1.0).all()
    assert short[:8].tobytes() == long[:8].tobytes()


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        (
            "one-cycle",
            {"up": 0.5},
            r"^s: expected up, down and tail to add up to 1, got 0\.5 \+ 0\.45 \+ 0\.1 = 1\.05$",
        ),
        ("one-cycle", {"start_division": 0}, r"^s\.start_division: expected 1 or more, got 0\.0$"),
        ("sgdr", {"multiplier": 0.5}, r"^s\.multiplier: expected 1 or more, got 0\.5$"),
        ("sgdr", {"period": 0}, r"^s\.period: expected a number above 0, got 0\.0$"),
        ("exp-range", {"gamma": 1.5}, r"^s\.gamma: expected a number above 0 and at most 1, got 1\.5$"),
    ],
)
def test_settings_that_cannot_be(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ROWS[name].check("s", given)
