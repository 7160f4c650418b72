"""Reading range tests: hand-made curves with a known answer, and curves that have none."""

import numpy as np
import pytest

from experiments import lr_range_test
from experiments.lr_range_test import RangeTest, check, exploded, read
from experiments.settings import InputError

RAMP = RangeTest()
RATES = RAMP.learning_rates()


def falling(at: float, noise: float, seed: int, rises: float = 0.5) -> np.ndarray:
    """From 0.7 to 0.5 around the rate `at`, up again from the rate `rises` on."""
    decades = np.log10(RATES.astype(np.float64) / at)
    loss = 0.7 - 0.2 / (1 + np.exp(-3 * decades)) + np.maximum(RATES - rises, 0) * 0.2
    return loss + noise * np.random.default_rng(seed).normal(size=len(RATES))


def test_the_ramp_is_exponential_and_has_the_ends_it_says() -> None:
    assert RATES.dtype == np.float32
    assert len(RATES) == 200
    assert (float(RATES[0]), float(RATES[-1])) == (np.float32(1e-7), 10.0)
    np.testing.assert_allclose(RATES[1:] / RATES[:-1], 1e8 ** (1 / 199), rtol=1e-5)


def test_a_clean_curve_gives_the_rates_that_are_there_to_be_found() -> None:
    reading = read(RATES, falling(0.003, 0.0, 0))
    assert reading.trouble is None
    # The middle of a logistic fall is its steepest place; the kernel looks a little ahead to the rise from 0.5 on.
    assert reading.suggestions["steepest"] == pytest.approx(0.003, rel=0.2)
    assert 0.1 < reading.lowest < 0.5
    assert reading.suggestions["minimum"] == reading.lowest / 10
    assert 0.001 < reading.suggestions["valley"] < 0.1


@pytest.mark.parametrize("seed", range(20))
def test_noise_moves_the_suggestions_by_less_than_a_decade(seed: int) -> None:
    reading = read(RATES, falling(0.003, 0.03, seed))
    assert reading.trouble is None
    assert abs(np.log10(reading.suggestions["steepest"] / 0.003)) < 1
    assert 0.0005 < reading.suggestions["valley"] < 0.1


def test_pure_noise_has_no_usable_region() -> None:
    rng = np.random.default_rng(1)
    readings = [read(RATES, 0.69 + 0.05 * rng.normal(size=200)) for _ in range(200)]
    assert sum(reading.trouble is None for reading in readings) <= 4
    trouble = next(reading.trouble for reading in readings if reading.trouble)
    assert "never falls clearly" in trouble


def test_a_loss_that_only_rises_has_no_usable_region() -> None:
    reading = read(RATES, 0.7 + np.linspace(0, 2, 200))
    assert not reading.suggestions
    assert "only rises" in str(reading.trouble)


def test_a_loss_that_is_lost_at_once_has_no_usable_region() -> None:
    reading = read(RATES, np.array([0.7, 0.9]))
    assert "after 2 steps" in str(reading.trouble)


def test_a_test_that_ended_early_is_read_from_the_losses_there_are() -> None:
    losses = falling(0.003, 0.0, 0)[:180]
    assert read(RATES, losses).suggestions["steepest"] == pytest.approx(0.003, rel=0.2)
    assert len(read(RATES, losses).smoothed) == 180


@pytest.mark.parametrize(
    ("losses", "end"),
    [
        ([1.0] * 30, None),
        ([1.0] * 10 + [np.nan] * 3, 10),
        ([1.0, np.inf], 1),
        # One batch of 20 lifts the running mean of ones to 2.9, not to 4; a second one does.
        ([1.0] * 30 + [20.0], None),
        ([1.0] * 30 + [20.0, 20.0], 31),
    ],
)
def test_a_test_ends_at_four_times_the_best_running_mean(losses: list[float], end: int | None) -> None:
    assert exploded(np.array(losses, np.float32)) == end


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"step": 100}, "range_test.step: unknown setting 'step'; did you mean 'steps'?"),
        ({"steps": 5}, "range_test.steps: expected 20 to 10,000, got 5"),
        ({"start": 0}, "range_test.start: expected a number above 0"),
        ({"start": 1.0, "end": 0.1}, "range_test.end: expected more than start 1, got 0.1"),
        ({"suggestion": "best"}, "range_test.suggestion: input should be 'steepest', 'minimum', "),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as error:
        check("range_test", given)
    assert str(error.value).startswith(message)


def test_every_suggestion_has_its_words() -> None:
    assert set(read(RATES, falling(0.003, 0.0, 0)).suggestions) == set(lr_range_test.SUGGESTIONS)
