"""Shapes one after the other, against tables written out by hand, and what cannot be a sequence."""

import doctest
from typing import Any

import numpy as np
import pytest

from experiments.schedules import joined
from experiments.schedules.schedule import check, require, table, uses_total
from experiments.settings import InputError

# parts, epochs, the fractions at the beginning of each epoch
CASES: list[tuple[list[Any], int, list[float]]] = [
    (
        [{"warmup": 2}, {"constant": 3}, {"cosine": "rest"}],
        9,
        [0, 0.5, 1, 1, 1, 1, 0.8535534, 0.5, 0.1464466],
    ),
    (
        [{"warmup": {"epochs": 2, "start": 0.5}}, {"linear": {"epochs": "rest", "final": 0.2}}],
        6,
        [0.5, 0.75, 1, 0.8, 0.6, 0.4],
    ),
    ([{"constant": "rest"}, {"linear": 4}], 6, [1, 1, 1, 0.75, 0.5, 0.25]),
    ([{"linear": 2}, {"linear": 4}], 6, [1, 0.5, 1, 0.75, 0.5, 0.25]),
    (
        [{"constant": 1}, {"step": {"epochs": "rest", "every": 2, "factor": 0.5}}],
        6,
        [1, 1, 1, 0.5, 0.5, 0.25],
    ),
]


def _sequence(*parts: Any) -> Any:
    return check("schedules.mine", "mine", {"sequence": list(parts)})


@pytest.mark.parametrize(("parts", "epochs", "expected"), CASES)
def test_against_numbers_written_out(parts: list[Any], epochs: int, expected: list[float]) -> None:
    schedule = _sequence(*parts)
    require("schedules.mine", schedule, epochs)
    rates = table(schedule, 1.0, epochs, 1)
    np.testing.assert_allclose(rates[:, 0], expected, rtol=3e-7)


def test_a_part_may_begin_inside_an_epoch() -> None:
    rates = table(_sequence({"constant": 0.5}, {"linear": "rest"}), 1.0, 2, 4)
    np.testing.assert_allclose(rates, [[1, 1, 1, 0.8333333], [0.6666667, 0.5, 0.3333333, 0.1666667]], rtol=3e-7)


def test_an_epoch_that_two_parts_share() -> None:
    rates = table(_sequence({"linear": 1.5}, {"constant": "rest"}), 1.0, 3, 4)
    expected = [[1.0, 0.8333333, 0.6666667, 0.5], [0.3333333, 0.1666667, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    np.testing.assert_allclose(rates, expected, rtol=3e-7)


def test_its_warm_up_is_the_warm_up_of_every_other_schedule() -> None:
    """To the bit, so that the epochs are shared."""
    parts = table(_sequence({"warmup": 3}, {"constant": "rest"}), 0.1, 5, 7)
    assert parts.tobytes() == table(check("s", "constant", {"warmup": {"epochs": 3}}), 0.1, 5, 7).tobytes()


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([{"warmup": 3}, {"constant": "rest"}], False),
        ([{"warmup": 3}, {"sgdr": "rest"}], False),
        ([{"linear": 2}, {"cosine": 4}], False),
        ([{"warmup": 3}, {"cosine": "rest"}], True),
        ([{"constant": "rest"}, {"linear": 5}], True),
    ],
)
def test_only_rest_makes_it_depend_on_the_total(parts: list[Any], expected: bool) -> None:
    assert uses_total(_sequence(*parts)) is expected


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], r"^schedules\.mine\.sequence: expected at least one part"),
        (
            [{"cosin": 3}],
            r"^schedules\.mine\.sequence\.0: unknown part of a sequence 'cosin'; did you mean 'cosine'\?$",
        ),
        ([{"plateau": 3}], r"unknown part of a sequence 'plateau'"),
        ([{"range-test": 3}], r"unknown part of a sequence 'range-test'"),
        ([{"warmup": 1, "cosine": 2}], r"^schedules\.mine\.sequence\.0: expected one shape and its length"),
        (["cosine"], r"^schedules\.mine\.sequence\.0: expected one shape and its length"),
        ([{"cosine": {"final": 0.1}}], r"sequence\.0\.cosine: setting 'epochs' is missing"),
        ([{"cosine": "all"}], r"sequence\.0\.cosine\.epochs: .*number.*, got 'all'$"),
        ([{"cosine": 0}], r"sequence\.0\.cosine\.epochs: expected a number above 0, got 0\.0$"),
        ([{"cosine": {"epoch": 3, "epochs": 3}}], r"unknown setting 'epoch'; did you mean 'epochs'\?$"),
        ([{"cosine": {"epochs": 3, "final": 2}}], r"cosine\.final: expected a number from 0 to 1, got 2\.0$"),
        ([{"cosine": "rest"}, {"linear": "rest"}], r"only one part can have the 'rest'"),
    ],
)
def test_parts_that_cannot_be(parts: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _sequence(*parts)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            [{"warmup": 4}, {"cosine": "rest"}],
            r"fixed parts take 4 epochs and the schedule has 4, so nothing is left",
        ),
        (
            [{"warmup": 4}, {"cosine": 2}],
            r"its parts take 6 epochs and the schedule has 4; give one part 'rest'",
        ),
        (
            [{"warmup": 1}, {"cosine": 2}],
            r"its parts take 3 epochs and the schedule has 4; give one part 'rest'",
        ),
        (
            [{"constant": 2}, {"piecewise": {"epochs": "rest", "boundaries": [3], "values": [1, 0.1]}}],
            r"sequence\.1\.piecewise\.boundaries: the last one is at epoch 3 and the schedule has 2 epochs",
        ),
    ],
)
def test_parts_that_do_not_fill_the_run(parts: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        require("schedules.mine", _sequence(*parts), 4)


def test_examples() -> None:
    assert doctest.testmod(joined).failed == 0
