"""Sparklines."""

import pytest

from orchestrator.console import text


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], ""), ([1.0], "▁"), ([0.0, 0.5, 1.0], "▁▅█"), ([float("nan"), 2.0, 1.0], "█▁"), ([float("inf")], "")],
)
def test_a_sparkline_shows_finite_values(values: list[float], expected: str) -> None:
    assert text.sparkline(values) == expected


def test_a_sparkline_is_never_wider_than_its_width() -> None:
    line = text.sparkline([float(i) for i in range(100)], width=10)
    assert (len(line), line[0], line[-1]) == (10, "▁", "█")
