"""Tables of learning rates against formulas in exact fractions, over shapes, settings and sizes at random."""

import os
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from experiments import schedules
from experiments.settings import InputError
from tests.generated import exact_schedules as exact

HEAVY = int(os.environ.get("GENERATED_CASES", "20000"))
THOUSANDTH = 1000


def numbers(low: float, high: float) -> st.SearchStrategy[Fraction]:
    """Numbers as people write them: at most three decimals."""
    return st.integers(round(low * THOUSANDTH), round(high * THOUSANDTH)).map(lambda n: Fraction(n, THOUSANDTH))


PART, ABOVE = numbers(0, 1), numbers(0.01, 3)
# Tenths meet the steps of an epoch of ten, where float64 has to find out whether a boundary is reached.
LENGTH = st.one_of(st.integers(1, 10).map(lambda n: Fraction(n, 10)), numbers(0.05, 30))


@st.composite
def pieces(draw: st.DrawFn) -> dict[str, Any]:
    """Boundaries and values of a piecewise schedule."""
    boundaries = sorted(draw(st.sets(numbers(0.1, 20), min_size=1, max_size=4)))
    values = draw(st.lists(numbers(0, 2), min_size=len(boundaries) + 1, max_size=len(boundaries) + 1))
    return {"boundaries": boundaries, "values": values}


@st.composite
def cycle(draw: st.DrawFn) -> dict[str, Any]:
    """Three parts that add up to 1."""
    up = draw(numbers(0, 0.999))
    down = draw(numbers(0.001, float(1 - up)))
    divisions = {name: draw(numbers(1, 100)) for name in ("start_division", "final_division")}
    return {"up": up, "down": down, "tail": 1 - up - down, **divisions}


TRIANGLE: dict[str, st.SearchStrategy[Fraction]] = {"period": LENGTH, "base": PART}
DRAWN: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    **{name: st.just({}) for name in exact.SHAPES if name.startswith("published-")},
    "warmup": st.fixed_dictionaries({"start": PART}),
    "constant": st.just({}),
    "plateau": st.just({}),
    "rex": st.just({}),
    "power": st.fixed_dictionaries({"exponent": ABOVE}),
    "inverse-time": st.fixed_dictionaries({"decay_rate": ABOVE}),
    "linear": st.fixed_dictionaries({"final": PART}),
    "exponential": st.fixed_dictionaries({"every": LENGTH, "factor": numbers(0.01, 1)}),
    "step": st.fixed_dictionaries({"every": LENGTH, "factor": numbers(0.01, 1)}),
    "piecewise": pieces(),
    "polynomial": st.fixed_dictionaries({"power": ABOVE, "final": PART}),
    "cosine": st.fixed_dictionaries({"final": PART}),
    "inverse-square-root": st.fixed_dictionaries({"timescale": ABOVE}),
    "range-test": st.fixed_dictionaries({"start": numbers(0.001, 0.1), "end": numbers(0.2, 20)}),
    "sgdr": st.fixed_dictionaries(
        {"period": LENGTH, "multiplier": numbers(1, 3), "final": PART, "peak_decay": numbers(0.01, 1)}
    ),
    "one-cycle": cycle(),
    "triangular": st.fixed_dictionaries(TRIANGLE),
    "triangular2": st.fixed_dictionaries(TRIANGLE),
    "exp-range": st.fixed_dictionaries({**TRIANGLE, "gamma": numbers(0.5, 1)}),
    "warm-up-stable-decay": st.fixed_dictionaries(
        {
            "warmup_epochs": numbers(0, 3),
            "decay_fraction": numbers(0.05, 1),
            "exponent": ABOVE,
            "final": PART,
        }
    ),
}
PARTS = sorted(
    name for name in DRAWN if name not in (*exact.ABSOLUTE, "plateau") and not name.startswith("published-")
)


@st.composite
def sequences(draw: st.DrawFn) -> dict[str, Any]:
    """Two to four parts, one of which has the rest of the epochs."""
    names = draw(st.lists(st.sampled_from(PARTS), min_size=2, max_size=4))
    rest = draw(st.integers(0, len(names) - 1))
    lengths = ["rest" if n == rest else draw(numbers(0.1, 5)) for n in range(len(names))]
    return {"sequence": [(name, length, draw(DRAWN[name])) for name, length in zip(names, lengths, strict=True)]}


DRAWN["sequence"] = sequences()


def as_written(value: Any) -> Any:
    """The settings as a sweep file has them: numbers, not fractions."""
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, dict):
        return {key: as_written(v) for key, v in value.items()}
    if isinstance(value, tuple):
        name, epochs, inner = value
        return {name: {"epochs": as_written(epochs), **as_written(inner)}}
    return [as_written(v) for v in value] if isinstance(value, list) else value


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """A shape with its settings, what goes around every shape, and a size of the table."""
    shape = draw(st.sampled_from(sorted(set(DRAWN) - {"warmup"})))
    only = schedules.SHAPES[shape].by
    warmed = draw(st.booleans())
    return {
        "shape": shape,
        "settings": draw(DRAWN[shape]),
        "by": only or draw(st.sampled_from(("step", "epoch"))),
        "peak": draw(numbers(0.001, 10)),
        "warmup": (draw(numbers(0.1, 5)), draw(PART)) if warmed else None,
        "decay": draw(st.sampled_from((Fraction(0), Fraction(1, 1000), Fraction(1, 10)))),
        "epochs": draw(st.integers(1, 40)),
        "steps": draw(st.one_of(st.just(10), st.integers(1, 40))),
        "places": draw(st.lists(st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)), min_size=4, max_size=12)),
    }


def hold(case: dict[str, Any]) -> None:
    """The table of one case against the reference, at its corners and at places drawn."""
    common: dict[str, Any] = {"by": case["by"]}
    if case["shape"] not in exact.ABSOLUTE:
        common["peak"] = float(case["peak"])
    if case["warmup"]:
        common["warmup"] = dict(zip(("epochs", "start"), map(float, case["warmup"]), strict=True))
    written = {**as_written(case["settings"]), **common}
    epochs, steps = case["epochs"], case["steps"]
    try:
        schedule = schedules.check("s", case["shape"], written)
        schedules.require("s", schedule, epochs)
    except InputError:
        assume(False)
    table = schedules.table(schedule, 123.0, epochs, steps, float(case["decay"]))
    places = {(0, 0), (epochs - 1, steps - 1), (epochs - 1, 0)}
    places |= {(int(a * epochs), int(b * steps)) for a, b in case["places"]}
    if epochs * steps <= 200:
        places |= set(product(range(epochs), range(steps)))
    around = {key: case[key] for key in ("by", "peak", "warmup", "decay", "epochs", "steps")}
    for epoch, step in sorted(places):
        expected = float(exact.rate(case["shape"], case["settings"], epoch, step, **around))
        # Float64 on the way, rounded once; near 0 the peak's own rounding is all that is left.
        np.testing.assert_allclose(
            table[epoch, step],
            expected,
            rtol=2e-7,
            atol=1e-13 * max(1.0, float(case["peak"])),
            err_msg=str((epoch, step)),
        )


def test_every_shape_has_a_formula_of_its_own_here() -> None:
    assert set(schedules.SHAPES) == set(exact.SHAPES) - {"warmup"}
    assert set(DRAWN) == set(exact.SHAPES)


@settings(max_examples=1000, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(cases())
def test_a_table_is_what_its_formula_says(case: dict[str, Any]) -> None:
    hold(case)


@pytest.mark.heavy
@settings(max_examples=HEAVY, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_many_tables_are_what_their_formulas_say(case: dict[str, Any]) -> None:
    """Some minutes."""
    hold(case)
