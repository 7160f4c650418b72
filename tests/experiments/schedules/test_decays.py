"""Every shape that goes down once, against fractions written out by hand."""

import doctest
from typing import Any

import numpy as np
import pytest

from experiments.schedules import decays
from experiments.schedules.decays import ROWS, times
from experiments.settings import InputError

# shape, settings, epochs, steps, the fractions of the peak (of range-test: the learning rates)
CASES: list[tuple[str, dict[str, Any], int, int, list[list[float]]]] = [
    ("constant", {}, 2, 3, [[1, 1, 1], [1, 1, 1]]),
    ("plateau", {"patience": 1}, 2, 2, [[1, 1], [1, 1]]),
    ("power", {}, 4, 1, [[1], [0.7944179], [0.5743492], [0.329877]]),
    ("power", {"exponent": 2}, 2, 2, [[1, 0.5625], [0.25, 0.0625]]),
    ("inverse-time", {}, 3, 1, [[1], [0.5050505], [0.3378378]]),
    ("inverse-time", {"decay_rate": 2}, 2, 2, [[1, 0.5], [0.3333333, 0.25]]),
    ("linear", {}, 2, 4, [[1, 0.875, 0.75, 0.625], [0.5, 0.375, 0.25, 0.125]]),
    ("linear", {"final": 0.2}, 2, 2, [[1, 0.8], [0.6, 0.4]]),
    (
        "exponential",
        {"every": 2},
        4,
        2,
        [[1, 0.5623413], [0.3162278, 0.1778279], [0.1, 0.05623413], [0.03162278, 0.01778279]],
    ),
    ("exponential", {"every": 0.5, "factor": 0.5}, 2, 2, [[1, 0.5], [0.25, 0.125]]),
    ("step", {"every": 2}, 5, 1, [[1], [1], [0.1], [0.1], [0.01]]),
    ("step", {"every": 1.5, "factor": 0.5}, 3, 2, [[1, 1], [1, 0.5], [0.5, 0.5]]),
    ("piecewise", {"boundaries": [1, 2.5], "values": [1, 0.3, 2]}, 3, 2, [[1, 1], [0.3, 0.3], [0.3, 2]]),
    ("polynomial", {}, 2, 2, [[1, 0.5625], [0.25, 0.0625]]),
    ("polynomial", {"power": 3, "final": 0.2}, 2, 1, [[1], [0.3]]),
    ("cosine", {}, 4, 1, [[1], [0.8535534], [0.5], [0.1464466]]),
    (
        "cosine",
        {"final": 0.1},
        2,
        4,
        [[1, 0.9657458, 0.8681981, 0.7222075], [0.55, 0.3777925, 0.2318019, 0.1342542]],
    ),
    ("inverse-square-root", {"timescale": 1}, 4, 1, [[1], [0.7071068], [0.5773503], [0.5]]),
    ("inverse-square-root", {"timescale": 2}, 2, 2, [[1, 0.8944272], [0.8164966, 0.7559289]]),
    (
        "rex",
        {},
        2,
        4,
        [[1, 0.9333333, 0.8571429, 0.7692308], [0.6666667, 0.5454545, 0.4, 0.2222222]],
    ),
    ("range-test", {}, 4, 2, [[1e-7, 1e-6], [1e-5, 1e-4], [1e-3, 1e-2], [0.1, 1]]),
    ("range-test", {"start": 0.01, "end": 1}, 2, 1, [[0.01], [0.1]]),
]


@pytest.mark.parametrize(("name", "given", "epochs", "steps", "expected"), CASES)
def test_against_numbers_written_out(
    name: str, given: dict[str, Any], epochs: int, steps: int, expected: list[list[float]]
) -> None:
    settings = ROWS[name].check(name, given)
    values = ROWS[name].function(times(epochs, steps), float(epochs), **settings)
    np.testing.assert_allclose(values, expected, rtol=3e-7)


def test_every_shape_has_a_case() -> None:
    assert {case[0] for case in CASES} == set(ROWS)


def test_examples() -> None:
    assert doctest.testmod(decays).failed == 0


def test_ramp() -> None:
    np.testing.assert_allclose(
        decays.ramp(times(3, 2), 2.0, start=0.2), [[0.2, 0.4], [0.6, 0.8], [1.0, 1.0]], rtol=1e-12
    )


def test_lengths_that_are_no_binary_fractions_end_on_time() -> None:
    """0.3 / 0.1 is 2.9999999999999996: the third of ten steps must still begin the third tenth."""
    count = decays.completed(times(2, 10), 0.1)
    assert count.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]]
    after_warmup = np.array([[1.0 - 0.9, 1.1 - 0.9]])
    assert after_warmup[0, 0] < 0.1
    assert decays.piecewise(after_warmup, 1.0, boundaries=(0.1,), values=(1.0, 0.5)).tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("step", {}, r"^s: setting 'every' is missing$"),
        ("step", {"every": 0}, r"^s\.every: expected a number above 0, got 0\.0$"),
        (
            "step",
            {"every": 3, "factor": 2},
            r"^s\.factor: expected a number above 0 and at most 1, got 2\.0$",
        ),
        ("cosine", {"final": -0.1}, r"^s\.final: expected a number from 0 to 1, got -0\.1$"),
        ("cosine", {"final": "low"}, r"^s\.final: .*number.*, got 'low'$"),
        ("cosine", {"finall": 0.1}, r"^s\.finall: unknown setting 'finall'; did you mean 'final'\?$"),
        ("range-test", {"start": 2, "end": 1}, r"^s: expected start below end, got 2 and 1$"),
        (
            "piecewise",
            {"boundaries": [], "values": [1]},
            r"^s\.boundaries: expected rising numbers of epochs",
        ),
        (
            "piecewise",
            {"boundaries": [2, 2], "values": [1, 1, 1]},
            r"expected rising .*, got \[2\.0, 2\.0\]$",
        ),
        ("piecewise", {"boundaries": [2], "values": [1]}, r"^s\.values: expected 2, one more than .* got 1$"),
        ("piecewise", {"boundaries": [2], "values": [1, -1]}, r"^s\.values: expected 0 or more, got -1\.0$"),
        ("plateau", {"monitor": "val_acc"}, r"^s\.monitor: unknown metric .* did you mean 'val_accuracy'\?$"),
        ("plateau", {"factor": 1.0}, r"^s\.factor: expected a number above 0 and below 1, got 1\.0$"),
    ],
)
def test_settings_that_cannot_be(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ROWS[name].check("s", given)


def test_defaults_are_filled_in() -> None:
    assert ROWS["step"].check("s", {"every": 3}) == {"every": 3.0, "factor": 0.1}
    assert ROWS["plateau"].check("s", {"patience": 3}) == {
        "monitor": "val_loss",
        "factor": 0.1,
        "patience": 3,
        "min_delta": 1e-4,
        "cooldown": 0,
        "min_learning_rate": 0.0,
    }
