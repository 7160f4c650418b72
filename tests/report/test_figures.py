"""Pictures: whole, labelled, the same bytes every time, with colours that the page decides."""

import io
import re
from xml.etree import ElementTree

import pytest
from PIL import Image

from orchestrator.analysis.summary import TrialDescription, summarize
from orchestrator.report.figures import catalogue, style
from tests.support.histories import PUBLISHED, article, history, square, worked

NAMES = {"forest", "matrix", "stages", "profile", "leaders", "curves", "losses", "schedules"}


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
