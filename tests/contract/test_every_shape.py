"""What every row of the table of shapes promises; a new row is under test by being there."""

import json
from typing import Any

import numpy as np
import pytest

from experiments.schedules.custom import COMMON, assert_shape_contract
from experiments.schedules.schedule import SHAPES, Schedule, check, table, uses_total
from experiments.settings import InputError
from tests.support.shapes import NEEDED

SIZES = [(1, 1), (1, 7), (6, 1), (12, 9)]


def _schedule(name: str, **common: Any) -> Schedule:
    return check("s", name, {**NEEDED.get(name, {}), **common})


@pytest.fixture(params=sorted(SHAPES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_name_and_docstring(name: str) -> None:
    assert name == name.lower().replace("_", "-")
    assert (SHAPES[name].function.__doc__ or "").strip()


@pytest.mark.parametrize(("epochs", "steps"), SIZES)
def test_table(name: str, epochs: int, steps: int) -> None:
    rates = table(_schedule(name), 0.1, epochs, steps)
    assert rates.shape == (epochs, steps)
    assert rates.dtype == np.float32
    assert rates.flags.c_contiguous
    assert np.isfinite(rates).all()
    assert (rates >= 0).all()
    assert rates.tobytes() == table(_schedule(name), 0.1, epochs, steps).tobytes()


def test_function_keeps_the_contract_that_users_functions_have(name: str) -> None:
    assert_shape_contract(SHAPES[name].function, **_schedule(name).settings)


@pytest.mark.parametrize("common", [{}, {"warmup": {"epochs": 2, "start": 0.1}}, {"by": "epoch"}])
@pytest.mark.parametrize("decay", [0.0, 1e-3])
def test_longer_runs(name: str, common: dict[str, Any], decay: float) -> None:
    """The beginning stays to the bit exactly where uses_total says so: epochs are known by these bytes."""
    schedule = _schedule(name, **common)
    for short, long, steps in ((12, 19, 13), (13, 40, 1), (11, 31, 157)):
        beginning = table(schedule, 0.1, long, steps, decay)[:short]
        same = beginning.tobytes() == table(schedule, 0.1, short, steps, decay).tobytes()
        assert same is not uses_total(schedule)


def test_runs_that_end_inside_the_warm_up(name: str) -> None:
    """No shape has begun by then, so none can make a difference."""
    schedule = _schedule(name, warmup={"epochs": 3, "start": 0.1})
    for short in (1, 2, 3):
        beginning = table(schedule, 0.1, 9, 5)[:short]
        with np.errstate(all="raise"):
            assert beginning.tobytes() == table(schedule, 0.1, short, 5).tobytes()


def test_by_epoch_is_constant_inside_the_epoch(name: str) -> None:
    rates = table(_schedule(name, by="epoch"), 0.1, 8, 5)
    assert (rates == rates[:, :1]).all()
    assert rates[:, :1].tobytes() == table(_schedule(name, by="epoch"), 0.1, 8, 1).tobytes()


def test_warm_up_goes_in_front(name: str) -> None:
    by = SHAPES[name].by or "step"
    with_warmup = table(_schedule(name, by=by, warmup={"epochs": 3, "start": 0.1}), 0.1, 11, 4)
    without = table(_schedule(name, by=by), 0.1, 8, 4)
    np.testing.assert_allclose(with_warmup[3:], without, rtol=1e-6, atol=1e-12)
    top = without[0, 0] if SHAPES[name].absolute else 0.1
    inside = np.array([0.0, 0.25, 0.5, 0.75]) if by == "step" else np.zeros(4)
    ramp = 0.1 + 0.9 * (np.array([[0.0], [1.0], [2.0]]) + inside) / 3.0
    np.testing.assert_allclose(with_warmup[:3], top * ramp, rtol=1e-6)


def test_peak_scales_fractions_and_nothing_else(name: str) -> None:
    one, two = (table(_schedule(name), peak, 6, 4) for peak in (0.1, 0.2))
    np.testing.assert_allclose(two, one if SHAPES[name].absolute else 2.0 * one, rtol=1e-6)


def test_settings_are_complete_plain_and_stable(name: str) -> None:
    """All of them, ready for JSON, and the same when checked again."""
    schedule = _schedule(name)
    assert set(schedule.settings) == set(SHAPES[name].declared)
    assert not set(schedule.settings) & set(COMMON)
    json.dumps(schedule.settings)
    assert check("s", name, schedule.settings) == schedule


def test_unknown_setting_is_answered_with_the_nearest_name(name: str) -> None:
    for setting in (*_schedule(name).settings, "warmup", "peak"):
        with pytest.raises(InputError, match=f"^s.{setting}x: unknown .*; did you mean '{setting}'"):
            _schedule(name, **{f"{setting}x": 1})


def test_no_number_may_be_negative(name: str) -> None:
    for setting, value in _schedule(name).settings.items():
        if isinstance(value, int | float):
            with pytest.raises(InputError, match=rf"^s\.{setting}: expected .*, got -1"):
                _schedule(name, **{**NEEDED.get(name, {}), setting: -1})


def test_unknown_shape_is_answered_with_the_nearest_name(name: str) -> None:
    with pytest.raises(InputError, match=f"unknown schedule '{name}x'; did you mean '{name}'"):
        check("s", f"{name}x", {})
