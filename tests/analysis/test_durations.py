"""Durations as texts."""

import doctest

import pytest

from orchestrator.analysis import durations


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.2, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (18720, "5 h 12 min")]
)
def test_a_duration_has_its_two_largest_units(seconds: float, expected: str) -> None:
    assert durations.duration(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.01, "1 s"), (99, "99 s"), (101, "2 min"), (7_199, "120 min"), (9_000, "2 h"), (400_000, "5 days")],
)
def test_an_estimate_has_one_unit(seconds: float, expected: str) -> None:
    assert durations.estimate(seconds) == expected


def test_the_examples_hold() -> None:
    assert doctest.testmod(durations).failed == 0
