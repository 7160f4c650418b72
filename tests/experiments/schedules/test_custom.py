"""A user's own shape, from a file that the test writes; and a contract that can be broken in every way."""

import doctest
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.schedules import custom
from experiments.schedules.custom import assert_shape_contract, total_independent
from experiments.schedules.decays import Array
from experiments.schedules.schedule import check, table, uses_total
from experiments.settings import InputError
from tests.support.command import command
from tests.support.sweeps import small

FILE = """
from experiments.own_shapes import total_independent

@total_independent
def sawtooth(t, total, *, period: float = 2.0):
    return 1.0 - t % period / period

def half(t, total):
    return 0.0 * t + 0.5

def scalar(t, total):
    return 0.5

def below(t, total):
    return 0.5 - t

def untyped(t, total, *, slope=1.0):
    return t

def taken(t, total, *, peak: float = 1.0):
    return t

def lonely(t):
    return t

def raises(t, total):
    raise ArithmeticError("first\\nlast")

def leaves(t, total):
    import sys
    sys.exit(3)

def text(t, total):
    return "fast"

def texts(t, total):
    return [["fast"] * t.shape[1]] * t.shape[0]

def nothing(t, total):
    pass

def short(t, total):
    return t[:, :1]

def ragged(t, total):
    return [[1.0], [1.0, 2.0]]

def nan(t, total):
    return t * float("nan")

def infinite(t, total):
    return t + float("inf")

def writes(t, total):
    t += 1.0
    return t

def mistyped(t, total, *, slope: float = "steep"):
    return slope * t + 0.0

def odd(t, total, *, slope: "type(open)" = None):
    return t

number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"rates_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(FILE)
    (tmp_path / f"{name}_broken.py").write_text("import nothing_of_this_name")
    monkeypatch.chdir(tmp_path)
    return name


def test_it_is_found_in_the_current_folder(module: str) -> None:
    before = list(sys.path)
    schedule = check("s", "mine", {"name": f"{module}:sawtooth", "period": 4, "peak": 0.2})
    assert schedule.settings == {"period": 4.0}
    np.testing.assert_allclose(table(schedule, 1.0, 5, 1)[:, 0], [0.2, 0.15, 0.1, 0.05, 0.2], rtol=1e-6)
    # Last, so that a file of the user's called like a library takes nobody's place.
    assert sys.path[: len(before)] == before


def test_only_a_marked_one_counts_as_independent_of_the_total(module: str) -> None:
    assert not uses_total(check("s", "mine", {"name": f"{module}:sawtooth"}))
    assert uses_total(check("s", "mine", {"name": f"{module}:half"}))


def test_it_can_be_a_part_of_a_sequence(module: str) -> None:
    parts = [{"constant": 1}, {f"{module}:sawtooth": {"epochs": "rest", "period": 4}}]
    rates = table(check("s", "mine", {"sequence": parts}), 1.0, 4, 1)
    np.testing.assert_allclose(rates[:, 0], [1, 1, 0.75, 0.5], rtol=1e-6)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (":sawtoth", r"^s\.name: unknown function of rates_.* 'sawtoth'; did you mean 'sawtooth'\?$"),
        (":number", r"^s\.name: unknown function"),
        (":untyped", r"setting 'slope' has no type; write it as `slope: float = 1\.0`$"),
        (":odd", r"setting 'slope' has a type that no sweep file can give"),
        (":taken", r"setting 'peak' has a name that every schedule uses already"),
        (":lonely", r"expected two positional parameters, t and total, got t$"),
        ("_broken:half", r"cannot import module 'rates_.*_broken': ModuleNotFoundError"),
        ("_missing:half", r"cannot import module 'rates_.*_missing': ModuleNotFoundError"),
    ],
)
def test_functions_that_are_no_shape(module: str, function: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check("s", "mine", {"name": module + function})


def test_unknown_setting_of_it(module: str) -> None:
    with pytest.raises(InputError, match=r"^s\.perod: unknown setting 'perod'; did you mean 'period'\?$"):
        check("s", "mine", {"name": f"{module}:sawtooth", "perod": 4})


def test_what_it_gives_is_checked(module: str) -> None:
    with pytest.raises(InputError, match=r":scalar: expected an array of shape \(2, 3\) from it, got \(\)$"):
        table(check("s", "mine", {"name": f"{module}:scalar"}), 1.0, 2, 3)
    with pytest.raises(InputError, match=r":below: expected learning rates of 0 or more, all finite, got -0\.5$"):
        table(check("s", "mine", {"name": f"{module}:below"}), 1.0, 2, 1)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("raises", "failed: ArithmeticError: last"),
        ("leaves", "failed: SystemExit: 3"),
        ("text", "expected an array of numbers from it, got <U4"),
        ("texts", "expected an array of numbers from it, got <U4"),
        ("nothing", "expected an array of numbers from it, got object"),
        ("short", "expected an array of shape (4, 22) from it, got (4, 1)"),
        ("ragged", "failed: ValueError: "),
        ("nan", "expected learning rates of 0 or more, all finite, got nan"),
        ("infinite", "expected learning rates of 0 or more, all finite, got inf"),
        ("below", "expected learning rates of 0 or more, all finite, got -"),
        ("writes", "failed: ValueError: output array is read-only"),
        ("mistyped", "failed: "),
    ],
)
def test_one_that_fails_is_a_sentence_with_its_name(
    function: str, message: str, module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sweep.yaml"
    parts = {"sequence": [{f"{module}:{function}": "rest"}]}
    for schedule in ({"name": f"{module}:{function}"}, parts):
        document = {**small(seeds=[0]).document, "schedules": {"mine": schedule}}
        path.write_text(json.dumps(document))
        code, out, err = command("plan", path, "--results", tmp_path / "r", capture=capsys)
        assert (code, out) == (2, "")
        assert err.count("\n") == 1, err
        assert message in err
        assert f"{module}:{function}" in err or schedule is parts


def test_one_of_a_library_that_shows_no_parameters() -> None:
    with pytest.raises(InputError, match="its parameters cannot be read"):
        check("s", "mine", {"name": "builtins:max"})


def test_a_good_shape_keeps_the_contract(module: str) -> None:
    function = custom.load("s", f"{module}:sawtooth").function
    assert_shape_contract(function)
    assert_shape_contract(function, period=0.7)


def _in_place(t: Array, total: float) -> Array:
    t += 1.0
    return t


def _of_its_neighbours(t: Array, total: float) -> Array:
    return t / (1.0 + float(t.max()))


@total_independent
def _of_the_total(t: Array, total: float) -> Array:
    return t / total


def _noise(t: Array, total: float) -> Array:
    return np.random.default_rng().random(t.shape)


BROKEN: list[tuple[Callable[..., Any], str]] = [
    (lambda t: t, "expected two positional parameters"),
    (lambda t, total: 1.0, "expected an array, got float"),
    (lambda t, total: t[:, :0], "expected shape"),
    (lambda t, total: t.astype(np.float32), "expected float64, got float32"),
    (lambda t, total: t * np.nan, "expected finite numbers"),
    (lambda t, total: -t - 1.0, "expected 0 or more everywhere, got -1.0"),
    (_in_place, "it changed t"),
    (_noise, "the same call gave other numbers"),
    (_of_its_neighbours, "by itself gave other numbers"),
    (_of_the_total, "marked total_independent, but uses total"),
]


@pytest.mark.parametrize(("function", "message"), BROKEN)
def test_the_contract_can_be_broken(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_shape_contract(function)


def test_examples() -> None:
    assert doctest.testmod(custom).failed == 0
