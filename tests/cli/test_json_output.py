"""Whatever prints JSON prints what every parser takes, also of trials that left all bounds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from experiments import lr_range_test
from experiments.lr_range_test import RangeTestCurve
from orchestrator.planning import lr_range_tests
from orchestrator.planning.root_key import RootFacts
from orchestrator.report.lr_range_test import picture, render
from orchestrator.storage.store import Store
from tests.support import engine
from tests.support.command import command
from tests.support.sweeps import small, written

DOORS = (
    ("plan", "--json"),
    ("plan", "--format", "json"),
    ("status", "--json"),
    ("status", "--json", "--timeline"),
    ("report", "--json"),
    ("report", "--json", "--target", "0.1"),
    ("lr-find", "--json"),
    ("doctor", "--json"),
    ("run", "--json"),
    ("clean", "--json"),
)
AUTO = {"sgd": {"class": "SGD", "learning_rate": "auto"}, "adam": {"class": "Adam", "learning_rate": 0.1}}


def strict(text: str) -> Any:
    """What a parser without Python's liberties makes of `text`."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_loss"])
@pytest.mark.parametrize("trainer", ["DivergingTrainer", "BoundlessTrainer"])
def test_every_door(trainer: str, monitor: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"trainer": f"tests.support.fakes:{trainer}", "monitor": monitor, "schedules": {"range-test": {}}}
    store, sweep = Store.at(str(tmp_path / "r")), small(**settings)
    engine.run(sweep, store)
    tests, _ = lr_range_tests.of_optimizers(sweep, RootFacts(sweep.trainer), store)
    for test, losses in zip(tests, ([0.7, float("nan"), 1e30], []), strict=True):
        store.write_range_test(test.key, {"loss": losses, "seconds": 0.1, "host": "here", "device": "cpu"})
    file = written(tmp_path, **settings)
    for verb, *options in DOORS:
        code, out, err = command(verb, file, "--results", tmp_path / "r", *options, capture=capsys)
        assert code in (0, 1 if verb in ("doctor", "run") else 0), (verb, err)
        assert isinstance(strict(out), dict), verb


def test_rates_that_are_not_known_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, optimizers=AUTO)
    for verb in ("plan", "status", "report"):
        code, out, _ = command(verb, file, "--results", tmp_path / "r", "--json", capture=capsys)
        assert code == 0
        strict(out)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("losses", [[], [1.0], [0.5] * 7, [0.0] * 40, [2.0] * 40, [3.0, 2.0, 1.0] * 10])
def test_a_curve_of_any_length_is_shown_drawn_and_told(
    losses: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    rates = np.geomspace(1e-6, 1.0, 200)
    reading = lr_range_test.read(rates, np.array(losses))
    curve = RangeTestCurve("sgd", "step", rates[: len(losses)], np.array(losses), reading, 1.0, "valley")
    render([curve], Console(width=80))
    assert "no usable region" in " ".join(capsys.readouterr().out.split())
    assert picture([curve], "svg").startswith(b"<?xml")
    assert picture([curve], "png").startswith(b"\x89PNG")
