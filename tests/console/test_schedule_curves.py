"""A plan drawn: what every schedule will do, as sparklines and as a page."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from experiments.schedules.schedule import SHAPES
from orchestrator.console import schedule_curves
from orchestrator.planning import plan
from orchestrator.planning.plan import Plan
from orchestrator.report.figures import schedules as drawing
from orchestrator.report.figures import style
from orchestrator.report.figures.schedules import RateLine, SchedulePlot, spans_decades
from orchestrator.storage.store import Store
from tests.support.command import command
from tests.support.pages import browse, read
from tests.support.shapes import NEEDED
from tests.support.sweeps import small

OPTIMIZERS = {
    "sgd": {"class": "SGD", "learning_rate": 0.01, "momentum": 0.9},
    "adam": {"class": "Adam", "learning_rate": 0.001},
}
ONE_CYCLE = {"momentum": {"low": 0.8, "high": 0.9}}


def plan_of(store: Store, **changes: Any) -> Plan:
    """The plan of a small sweep."""
    return plan.make(small(**{"optimizers": OPTIMIZERS, **changes}), store)


def printed(sweep_plan: Plan, width: int = 100) -> list[str]:
    """The lines of its sparklines."""
    console = Console(width=width)
    with console.capture() as captured:
        schedule_curves.render(sweep_plan, console)
    return captured.get().splitlines()


def test_schedules_stand_once_with_a_line_for_each_table(store: Store) -> None:
    schedules = {"constant": {}, "same": {"name": "cosine", "peak": 0.1}, "one-cycle": ONE_CYCLE}
    plots = schedule_curves.of(plan_of(store, schedules=schedules))
    assert [(c.name, [line.optimizers for line in c.lines]) for c in plots] == [
        ("constant", [("sgd",), ("adam",)]),
        ("same", [("sgd", "adam")]),
        ("one-cycle", [("sgd",), ("adam",)]),
    ]
    assert plots[0].lines[0].momentum is None
    momentum = plots[2].lines[1].momentum
    assert momentum is not None
    assert momentum.shape == plots[2].lines[1].rates.shape == (4, 22)


def test_points_of_the_grid_stand_apart_where_they_differ(store: Store) -> None:
    grid = {"model.width": [0.0625, 0.125], "schedules.cosine.final": [0, 0.5]}
    plots = schedule_curves.of(plan_of(store, grid=grid, optimizers={"sgd": OPTIMIZERS["sgd"]}))
    names = [c.name for c in plots]
    assert names[0] == "constant"
    assert len(names) == 3
    assert "final=0.5" in names[2]
    assert "width=0.0625" in names[1]
    assert "width=0.125" in names[1]


def test_a_sparkline_says_where_it_begins_peaks_and_ends(store: Store) -> None:
    schedules = {"one-cycle": {**ONE_CYCLE, "start_division": 10}, "step": {"every": 1}}
    lines = printed(plan_of(store, schedules=schedules, optimizers={"sgd": OPTIMIZERS["sgd"]}))
    assert [line.split()[0] for line in lines] == ["schedule", "one-cycle", "momentum", "step"]
    assert lines[1].split()[1:3] == ["0.001", "0.00991"]
    assert lines[2].split()[1:4] == ["0.9", "0.801", "0.9"]
    assert lines[3].split()[1:4] == ["0.01", "0.01", "1e-05"]
    up, down = lines[1].split()[4], lines[2].split()[4]
    assert len(up) == len(down) == 40
    assert (up[0], up[-1]) == ("▂", "▁")
    assert "█" in up[15:22]
    assert (down[0], down[-1]) == ("█", "█")
    assert "▁" in down[15:22]
    # Three decades in four steps of one height: they are drawn as such.
    assert re.search("█{10}▆{10}▃{10}▁{10} log", lines[3]), lines[3]


def test_sparklines_fit_a_terminal_of_80_columns(store: Store) -> None:
    schedules = {"a-name-that-is-long": {"name": "cosine"}, "step": {"every": 1}}
    lines = printed(plan_of(store, schedules=schedules), 80)
    assert all(len(line) <= 80 for line in lines)
    assert max(len(line.strip()) for line in lines) < 80
    assert not any("…" in line for line in lines)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.geomspace(1e-7, 10, 100), True),
        (np.full(10, 0.1), False),
        (np.linspace(0, 1, 100), False),
        (0.5 * (1 + np.cos(np.linspace(0, np.pi, 100))), False),
        (np.repeat([1, 0.1, 0.01], 12), True),
        (np.repeat([1, 0.0, 0.0], 12), False),
    ],
)
def test_an_axis_is_logarithmic_where_it_has_to_be(values: Any, expected: bool) -> None:
    assert spans_decades(values) is expected


def figure(*plots: SchedulePlot) -> Any:
    """The picture of these curves."""
    with style.context("none"):
        return drawing.schedules(plots)


def curve(name: str, *tables: Any, **rest: Any) -> SchedulePlot:
    """A schedule with these tables, for optimizers a, b, …."""
    lines = [RateLine((chr(97 + n),), np.asarray(table, np.float32), **rest) for n, table in enumerate(tables)]
    return SchedulePlot(name, tuple(lines))


def test_every_step_is_drawn_against_its_time_and_axes_say_what_they_are() -> None:
    rates = np.array([[0.1, 0.2], [0.3, 0.4]])
    momentum = np.array([[0.9, 0.85], [0.8, 0.75]], np.float32)
    first, second = figure(curve("up", rates, momentum=momentum)).axes
    assert first.get_ylabel() == "learning rate"
    assert second.get_ylabel() == "momentum"
    assert second.get_xlabel() == "epochs trained"
    assert second.get_title(loc="left") == "up: momentum"
    x, y = first.lines[0].get_data()
    assert x.tolist() == [0, 0.5, 1, 1.5]
    np.testing.assert_allclose(y, rates.ravel(), rtol=1e-6)
    np.testing.assert_allclose(second.lines[0].get_ydata(), momentum.ravel())


def test_rates_that_differ_by_a_factor_are_one_line_and_others_are_told_apart() -> None:
    line = np.linspace(1, 0, 10, dtype=np.float32).reshape(5, 2)
    (axes,) = figure(curve("linear", 0.01 * line, 0.001 * line)).axes
    assert len(axes.lines) == 1
    assert axes.get_ylabel() == "rate / highest rate"
    assert axes.get_title(loc="left") == "linear\nhighest: a 0.01, b 0.001"
    two_panels = figure(curve("linear", 0.01 * line, 0.001 * line**2), curve("other", line, line**3))
    assert [len(axes.lines) for axes in two_panels.axes] == [2, 2]
    styles = {(each.get_color(), each.get_linestyle()) for each in two_panels.axes[0].lines}
    assert len({colour for colour, _ in styles}) == len({dash for _, dash in styles}) == 2
    assert [text.get_text() for text in two_panels.legends[0].get_texts()] == ["a", "b"]


def test_long_tables_keep_their_extremes() -> None:
    rates = np.full((40, 1000), 0.1, np.float32)
    rates[20, 500] = 0.9
    (axes,) = figure(curve("spike", rates)).axes
    x, y = axes.lines[0].get_data()
    assert len(x) < 1000
    assert x[y.argmax()] == 20.5
    assert (x[0], x[-1]) == (0, 39.999)


def test_zero_has_no_place_on_a_logarithmic_axis() -> None:
    rates = np.array([[0.0], [1e-6], [1e-5], [1e-4], [1.0]])
    (axes,) = figure(curve("steep", rates)).axes
    assert axes.get_yscale() == "log"
    assert np.isnan(axes.lines[0].get_ydata()[0])


def test_more_than_can_be_read_is_said() -> None:
    many = [curve(f"s{n}", [[0.1, n / 100]]) for n in range(drawing.MAX_PANELS + 5)]
    assert len(figure(*many).axes) == drawing.MAX_PANELS
    assert drawing.caption(many).startswith(f"The first {drawing.MAX_PANELS} of {drawing.MAX_PANELS + 5} panels.")
    assert drawing.schedules([]) is None


def everything(folder: Path) -> Path:
    """A sweep file with every shape there is."""
    schedules: dict[str, Any] = {name: dict(NEEDED.get(name, {})) for name in SHAPES}
    for name, row in SHAPES.items():
        if row.lowest:
            schedules[name]["momentum"] = {}
    path = folder / "everything.yaml"
    sweep = small(optimizers=OPTIMIZERS, schedules=schedules, epochs=8, seeds=[0])
    path.write_text(json.dumps(sweep.document))
    return path


def test_the_page_draws_every_shape_and_needs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = ("--results", tmp_path / "r")
    code, out, err = command("plan", everything(tmp_path), "--format", "html", *results, capture=capsys)
    assert (code, err) == (0, "")
    reader = read(out)
    assert reader.outside == []
    assert len(reader.ids) == len(set(reader.ids))
    assert {link[1:] for link in reader.links} <= set(reader.ids)
    pictured = out[out.index("<svg") : out.index("</svg>")]
    for name in SHAPES:
        assert f">{name}" in pictured
    assert pictured.count(": momentum<") == sum(row.lowest is not None for row in SHAPES.values())
    for words in ("learning rate", "rate / highest rate", "momentum", "epochs trained"):
        assert f">{words}<" in pictured
    assert len(reader.column("table-trials", 0)) == 2 * len(SHAPES)
    momenta = dict(zip(reader.column("table-trials", 0), reader.column("table-trials", 10), strict=True))
    assert momenta["sgd-cosine-s0"] == ""
    assert momenta["sgd-one-cycle-s0"].endswith(" to 0.95")
    assert f"{2 * len(SHAPES)} trials" in out
    _, lines, _ = command("plan", everything(tmp_path), "--curves", *results, capture=capsys)
    for name in SHAPES:
        assert f"\n {name} " in lines


def test_the_page_goes_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, results = tmp_path / "small.yaml", ("--results", tmp_path / "r")
    file.write_text(json.dumps(small(schedules={"one-cycle": {}}).document))
    page = tmp_path / "deep" / "plan.html"
    code, out, err = command("plan", file, "--format", "html", "--output", page, *results, capture=capsys)
    assert (code, out, err) == (0, "", "")
    assert page.read_text().startswith("<!DOCTYPE html>")
    _, out, _ = command("plan", file, "--format", "json", *results, capture=capsys)
    _, same, _ = command("plan", file, "--json", *results, capture=capsys)
    assert out == same
    assert not (tmp_path / "r").exists()


def test_in_chromium_the_page_is_drawn_and_its_table_sorts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = everything(tmp_path)
    _, out, _ = command("plan", file, "--format", "html", "--results", tmp_path / "r", capture=capsys)
    click = "document.querySelectorAll('#table-trials th button')[8].click();"
    measure = "document.title = [...document.querySelectorAll('figure svg')].map(s => s.clientWidth).join();"
    shown = browse(out, tmp_path, click + measure)
    rates = [float(text) for text in shown.column("table-trials", 8)]
    assert rates == sorted(rates)
    assert rates[0] < rates[-1]
