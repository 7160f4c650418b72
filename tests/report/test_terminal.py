"""What the terminal shows: the answer first, complete without colour, within 80 columns."""

import doctest
import io
import re
from itertools import pairwise

import pytest
from rich.console import Console

from orchestrator.analysis.summary import TrialDescription, summarize
from orchestrator.report import latex, marks, number_format, terminal
from orchestrator.report.figures import colour_scale
from orchestrator.report.matrix import matrices
from tests.support.histories import PUBLISHED, article, history, rows, square, worked


def terminal_text(comparison, full=False, width=80, **options):
    out = io.StringIO()
    terminal.render(comparison, Console(file=out, width=width, **options), full=full)
    return out.getvalue()


def test_the_answer_comes_first_and_the_winner_is_marked():
    text = terminal_text(summarize(*worked({"sgd + step": [0.5, 0.6, 0.4], "adam + cosine": [0.93, 0.95, 0.94]})))
    lines = text.splitlines()
    assert lines[1].startswith("Use adam + cosine: final validation accuracy 0.940 over 3 seeds; 0.9")
    assert "1* adam + cosine 0.940 .915-.965   >0.99 0.060" in text
    assert re.search(r"^adam +\. +0\.940\*", text, re.M)
    assert "Cost: 6 trials, 24 epochs trained: 48 core seconds on cpu." in text


@pytest.mark.parametrize("make", [article, square])
@pytest.mark.parametrize("full", [False, True])
def test_it_fits_80_columns(make, full):
    text = terminal_text(summarize(*make(), published=PUBLISHED), full)
    assert max(map(len, text.splitlines())) <= 80


def test_a_matrix_of_12_by_12_shows_every_cell_under_its_whole_name():
    comparison = summarize(*square())
    text = terminal_text(comparison)
    start = text.index("Optimizer x schedule")
    matrix = text[start : text.index("The price of certainty")]
    for row in comparison.matrix.to_pylist():
        assert f"{row['final_mean']:.3f}" in matrix
        assert re.search(rf"(?m)^{row['optimizer']} ", matrix)
        assert row["schedule"] in matrix
    assert len(re.findall(r"(?m)^rmsprop ", matrix)) == 2


def test_what_is_cut_is_said_and_full_shows_all():
    comparison = summarize(*square())
    assert "... and 124 more rows, in the full report." in terminal_text(comparison)
    complete = terminal_text(comparison, full=True)
    assert "more rows" not in complete
    assert "Who overtakes whom" in complete
    assert re.search(r"(?m)^ *144", complete)


def test_colour_is_only_an_addition():
    comparison = summarize(*article())
    monochrome = terminal_text(comparison)
    coloured = terminal_text(comparison, force_terminal=True, color_system="truecolor", legacy_windows=False)
    assert "\x1b[" not in monochrome
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == monochrome


def test_no_color_is_obeyed(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    text = terminal_text(summarize(*article()), force_terminal=True, color_system="truecolor")
    assert not re.search(r"\x1b\[[0-9;]*[34]8[;0-9]*m|\x1b\[[0-9;]*3[0-7]m", text)


def test_troubles_are_listed_with_their_reason():
    table, trials = worked({"a + x": [0.9, 0.8]})
    failed = TrialDescription("f", "b", "x", 0, 4, 0.1, status="failed", reason="out of memory [node 3]")
    text = terminal_text(summarize(table, [*trials, failed]))
    assert "out of memory [node 3]" in text
    assert re.search(r"(?m)^ +- b \+ x .* 0 of 1", text)


def test_one_seed_prints_no_interval():
    only = TrialDescription("only", "a", "x", 0, 2, 0.1)
    text = terminal_text(summarize(rows(only, [0.5, 0.75]), [only]))
    assert "(1 seed)" in text
    assert "nothing is known about spread" in text
    assert not re.search(r"\.\d{3}-\.\d{3}", text)


def test_colours_are_told_apart_by_lightness_alone_and_carry_text():
    steps = [colour_scale.lightness(colour_scale.scale(i / 20)) for i in range(21)]
    assert all(later - earlier > 0.004 for earlier, later in pairwise(steps))
    for i in range(21):
        ground, ink = (
            colour_scale.lightness(colour_scale.scale(i / 20)),
            colour_scale.lightness(colour_scale.ink(i / 20)),
        )
        assert (max(ground, ink) + 0.05) / (min(ground, ink) + 0.05) >= 4.5


def test_further_settings_stand_side_by_side_while_they_fit():
    trials = [
        TrialDescription(f"{b}-{o}", o, "cosine", 0, 1, 0.1, {"batch_size": b})
        for b in ("16", "64")
        for o in ("a", "b")
    ]
    comparison = summarize(*history([(t, [0.5 + n / 10]) for n, t in enumerate(trials)]))
    assert len(matrices(comparison)) == 1
    text = terminal_text(comparison)
    assert re.search(r"(?m)^cosine, batch_size=64? +0\.", text) is None
    assert re.search(r"(?m)^a +0\.500\? +0\.700\?$", text)
    trials = [TrialDescription(f"{b}", "a", "cosine", 0, 1, 0.1, {"batch_size": str(b)}) for b in range(31)]
    assert len(matrices(summarize(*history([(t, [0.5]) for t in trials])))) == 31


def test_examples_in_the_docstrings():
    for module in (number_format, marks, colour_scale, latex):
        result = doctest.testmod(module)
        assert result.attempted
        assert not result.failed


def test_a_difference_of_nothing_has_no_sign():
    assert number_format.number(-1e-17) == "0.000"
    assert number_format.number(-0.0004) == "0.000"
    assert number_format.number(-0.001) == "-0.001"
