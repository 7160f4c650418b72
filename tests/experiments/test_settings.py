"""What a limit lets through, at its very edge, and what it says otherwise."""

import doctest

import pytest

from experiments import settings
from experiments.settings import InputError


def test_examples() -> None:
    assert doctest.testmod(settings).failed == 0


@pytest.mark.parametrize(
    ("limit", "inside", "outside"),
    [
        (settings.POSITIVE, (1e-9, 5.0), (0.0, -1.0)),
        (settings.NOT_NEGATIVE, (0, 3.0), (-1e-9,)),
        (settings.AT_LEAST_ONE, (1, 1.5), (0.999,)),
        (settings.FRACTION, (0.0, 1.0), (-0.001, 1.001)),
        (settings.REDUCTION, (1e-9, 1.0), (0.0, 1.001)),
        (settings.STRICT_REDUCTION, (1e-9, 0.999), (0.0, 1.0)),
    ],
)
def test_edges(limit: settings.Limit, inside: tuple[float, ...], outside: tuple[float, ...]) -> None:
    for number in inside:
        limit.check("x", number)
    for number in outside:
        with pytest.raises(InputError, match=r"x: expected .*, got"):
            limit.check("x", number)


def test_a_tuple_is_held_number_by_number() -> None:
    settings.POSITIVE.check("x", (1.0, 2.0))
    with pytest.raises(InputError, match=r"x: expected a number above 0, got -2\.0"):
        settings.POSITIVE.check("x", (1.0, -2.0))
