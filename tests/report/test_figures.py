"""Pictures: whole, labelled, the same bytes every time, with colours that the page decides."""

import io
import re
from html import escape
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from PIL import Image

from orchestrator.analysis import ranking
from orchestrator.analysis.summary import TrialDescription, summarize
from orchestrator.report.figures import catalogue, forest, pairs, style
from orchestrator.report.marks import MARKS
from orchestrator.report.number_format import probability
from tests.support.histories import COLUMNS, PUBLISHED, Course, article, grown, history, square, trial, worked

NAMES = {"forest", "wins", "matrix", "stages", "profile", "leaders", "curves", "losses", "schedules"}


def small():
    return summarize(*worked({"a + x": [0.9, 0.8], "a + y": [0.7, 0.75], "b + x": [0.6, 0.5]}))


@pytest.fixture(scope="module")
def inline():
    return catalogue.inline(summarize(*article(), published=PUBLISHED))


def test_each_question_has_its_picture(inline):
    assert set(inline) == NAMES
    for name, (picture, caption) in inline.items():
        ElementTree.fromstring(picture)
        assert len(caption) > 30, name


def test_axes_are_labelled_with_their_units(inline):
    labels = {
        "forest": "final validation accuracy: mean over seeds and 95 % interval",
        "wins": "the rival's number",
        "stages": "rank among all recipes",
        "profile": "training time over that of the fastest recipe with the same seed (ratio)",
        "leaders": "epochs trained",
        "curves": "epochs trained",
        "losses": "epochs trained",
        "schedules": "learning rate",
    }
    for name, label in labels.items():
        assert f">{label}<" in inline[name][0], name


def test_every_recipe_is_in_the_pictures_with_its_figure(inline):
    comparison = summarize(*article())
    for row in comparison.ranking.to_pylist():
        assert row["recipe"] in inline["forest"][0]
        assert f"{row['final_val_accuracy_mean']:.3f}" in inline["forest"][0]
        assert f"{row['final_val_accuracy_mean']:.3f}" in inline["matrix"][0]
        assert row["recipe"] in inline["curves"][0]


def test_colours_follow_the_page_and_identifiers_do_not_clash(inline):
    everything = "".join(picture for picture, _ in inline.values())
    for colour in (style.INK, style.SOFT, style.FAINT, *style.SERIES):
        assert colour not in everything
    assert "var(--ink)" in everything
    identifiers = re.findall(r'\bid="([^"]+)"', everything)
    assert len(identifiers) == len(set(identifiers))
    for name, (picture, _) in inline.items():
        references = set(re.findall(r'(?:url\(#|href="#)([^")]+)', picture))
        assert references <= set(re.findall(r'\bid="([^"]+)"', picture)), name


def test_the_same_comparison_gives_the_same_bytes():
    names = {"forest", "matrix", "curves"}
    assert catalogue.inline(small(), names) == catalogue.inline(small(), names)
    with style.context():
        first, second = (next(catalogue.drawings(small())).make() for _ in range(2))
        assert style.png(first) == style.png(second)
        assert style.svg(first) == style.svg(second)


def test_files_are_what_their_names_say():
    svg, png = catalogue.svg_files(small()), catalogue.png_files(small())
    assert {name.removesuffix(".svg") for name in svg} == {name.removesuffix(".png") for name in png} == NAMES
    for name, content in svg.items():
        assert ElementTree.fromstring(content).tag.endswith("svg"), name
        assert b"<text" not in content, "a file must look the same where the font is not installed"
        assert not re.search(rb"\d{4}-\d\d-\d\d", content), "a date would make every file differ"
    for name, content in png.items():
        with Image.open(io.BytesIO(content)) as image:
            assert image.width > 200, name


def test_names_are_not_taken_for_formulas():
    trials = [TrialDescription(f"t{o}", o, "$x$", 0, 2, 0.1) for o in ("$\\alpha", "b_1")]
    comparison = summarize(*history([(t, [0.5, 0.6 + i / 10]) for i, t in enumerate(trials)]))
    assert "$\\alpha + $x$" in catalogue.inline(comparison, {"forest"})["forest"][0]


def test_sensitivity_is_drawn_where_there_are_several_rates():
    trials = [
        TrialDescription(f"{o}-{rate}-{s}", o, "cosine", s, 2, rate, {"learning_rate": f"{rate}"})
        for o in ("sgd", "adam")
        for rate in (0.1, 0.01)
        for s in (0, 1)
    ]
    comparison = summarize(*history([(t, [0.5, 0.6 + t.learning_rate + t.seed / 50]) for t in trials]))
    assert ">peak learning rate<" in catalogue.inline(comparison, {"sensitivity"})["sensitivity"][0]


def test_a_matrix_too_large_to_read_is_not_drawn_and_a_large_grid_is_by_optimizer():
    finals = {f"o + s{n}": [0.5 + n / 200] for n in range(61)}
    figures = catalogue.inline(summarize(*worked(finals, epochs=1)), {"matrix", "curves", "forest", "schedules"})
    assert "matrix" not in figures
    assert "One panel an optimizer" in figures["curves"][1]
    assert "The first 30 of 61 recipes." in figures["forest"][1]
    assert "24 of 61 schedules." in figures["schedules"][1]
    assert "matrix" in catalogue.inline(summarize(*square(4, seeds=1, epochs=2)), {"matrix"})


def in_steps(count, seeds, gap=0.01):
    """Recipes whose final accuracies differ by `gap` from one to the next, with some noise."""
    names = [("o", f"s{n}") for n in range(count)]
    return grown({name: Course(0.93 - gap * n, 3, 0.01) for n, name in enumerate(names)}, seeds, 6)


def with_test_figures(made, drop):
    """The same history with test accuracies lower by `drop`."""
    table, trials = made
    accuracy = table.column("val_accuracy").to_numpy() - drop
    table = table.append_column("test_accuracy", pa.array(accuracy))
    return table.append_column("test_loss", pa.array(1 - accuracy)), trials


def drawn(comparison, name):
    """The figure's element and caption, or None without a figure."""
    return catalogue.inline(comparison, {name}).get(name)


def test_every_verdict_has_a_marker_and_a_meaning():
    assert set(forest.MARKERS) == set(forest.LEGEND) == set(MARKS)
    assert ranking.NOT_LEARNED in forest.LEGEND


def test_the_forest_tells_what_is_ruled_out_corrected_and_measured_on_test_images():
    picture, caption = drawn(summarize(*with_test_figures(in_steps(6, 6), 0.05)), "forest")
    for text in ("the winner", "not the best", "on test images", "corrected for having been chosen"):
        assert f">{text}<" in picture, text
    for text in ("ruled out", "blue band", "Hollow triangles"):
        assert text in caption, text


def test_the_forest_leaves_out_what_is_not_known():
    picture, caption = drawn(summarize(*in_steps(3, 1)), "forest")
    assert ">not tested<" in picture
    assert "corrected" not in picture + caption
    assert "test images" not in picture + caption
    alone, caption = drawn(summarize(*in_steps(1, 4)), "forest")
    assert "corrected" not in alone + caption


def test_a_recipe_that_did_not_learn_is_counted_and_not_drawn():
    idle = [(trial("lamb + x", seed, validation=500, majority=0.5), [0.5] * 4) for seed in (0, 1)]
    good = [(trial("adam + x", seed), [0.5, 0.7, 0.8, 0.9 + seed / 100]) for seed in (0, 1)]
    picture, caption = drawn(summarize(*history(good + idle)), "forest")
    assert "lamb" not in picture
    assert "Not drawn: 1 that did not learn." in caption


def test_a_hopeless_recipe_does_not_press_the_others_together():
    finals = {f"o + s{n}": [0.90 + n / 100, 0.905 + n / 100, 0.91 + n / 100] for n in range(6)}
    far = summarize(*worked(finals | {"o + far": [0.10, 0.12, 0.14]}))
    rows = forest.drawn_rows(far)
    low, high = forest.limits(far, rows)
    assert 0.12 < low < 0.90
    assert high > 0.97
    assert "end at the edge" in drawn(far, "forest")[1]
    assert "0.120" in drawn(far, "forest")[0]
    assert "end at the edge" not in drawn(summarize(*worked(finals)), "forest")[1]


def test_pairs_show_who_beats_whom_and_where_that_matters():
    comparison = summarize(*in_steps(4, 6))
    picture, caption = drawn(comparison, "wins")
    for row in comparison.wins.to_pylist():
        assert row["recipe"] in picture
        assert f">{escape(probability(row['probability']))}<" in picture
    assert "at least 0.75" in caption
    assert "The first" not in caption
    assert drawn(summarize(*in_steps(4, 1)), "wins") is None
    assert "The first 12 of 14 recipes." in drawn(summarize(*in_steps(14, 3)), "wins")[1]


def test_mean_ranks_are_joined_by_bars_up_to_the_critical_difference():
    comparison = summarize(*in_steps(5, 6))
    picture, caption = drawn(comparison, "critical-difference")
    critical = comparison.seed_ranks["critical_difference"][0].as_py()
    assert f"critical difference {critical:.2f}" in picture
    assert "6 seeds" in caption
    for row in comparison.seed_ranks.to_pylist():
        assert row["recipe"] in picture
        assert f"{row['mean_rank']:.2f}" in picture
    assert drawn(summarize(*in_steps(5, 4)), "critical-difference") is None
    assert "The first 16 of 18 recipes." in drawn(summarize(*in_steps(18, 5)), "critical-difference")[1]


def test_groups_are_the_largest_that_differ_by_less_than_the_critical_difference():
    assert pairs.groups([1.0, 2.0, 3.0], 1.0) == []
    assert pairs.groups([1.0, 1.0, 3.0], 0.5) == [(0, 1)]
    assert pairs.groups([1.0, 2.0, 3.0], 5.0) == [(0, 2)]
    assert pairs.groups([1.0, 1.5, 2.5, 4.0, 4.2], 1.6) == [(0, 2), (2, 3), (3, 4)]


def test_without_a_result_there_is_no_figure_of_one():
    waiting = [trial("adam + x", 0, status="waiting")]
    for comparison in (summarize(COLUMNS.empty_table(), waiting), summarize(COLUMNS.empty_table(), [])):
        assert not {"forest", "wins", "critical-difference"} & set(catalogue.inline(comparison))
    diverged = summarize(*grown({("o", s): Course(0.7, 3, diverges=(0, 1)) for s in "abc"}, 2, 4))
    assert set(catalogue.inline(diverged, {"forest", "wins", "critical-difference"})) == {"forest"}
