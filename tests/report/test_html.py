"""The page: complete in itself, safe with any name, and sorting in a real browser."""

import re

import pyarrow as pa
import pytest

from orchestrator.analysis.summary import TrialDescription, summarize
from orchestrator.report import html, tables
from tests.support.histories import COLUMNS, PUBLISHED, Course, article, grown, history, square, trial, worked
from tests.support.pages import browse, read


@pytest.fixture(scope="module")
def page():
    return html.render(summarize(*article(), published=PUBLISHED))


def test_the_page_answers_every_question_and_is_whole(page):
    reader = read(page)
    assert len(reader.ids) == len(set(reader.ids))
    questions = {"ranking", "pairs", "certainty", "matrix", "stages", "targets", "sensitivity", "published"}
    assert questions | {"cost", "curves", "notes"} <= set(reader.ids)
    assert {link[1:] for link in reader.links} <= set(reader.ids)
    assert reader.column("table-ranking", 1)[0] == "rmsprop + constant"
    assert "Use rmsprop + constant: final validation accuracy 0.936 over 3 seeds; " in page


def test_the_tiles_say_how_sure_the_winner_is(page):
    comparison = summarize(*article(), published=PUBLISHED)
    members = sum(row["in_set"] for row in comparison.ranking.to_pylist() if row["rank"])
    ranked = sum(row["rank"] is not None for row in comparison.ranking.to_pylist())
    assert f"<dt>May be the best</dt><dd>{members} of {ranked} recipes<small>" in page
    corrected = f"{comparison.winner_value['value']:.3f}"
    assert f"<dt>Corrected for having been chosen</dt><dd>{corrected}<small>95 % interval " in page
    assert "final validation accuracy 0.936 (0.902 to 0.970); seeds: 3</small>" in page
    assert "<dt>On test images</dt>" not in page


def test_test_figures_have_a_tile_and_a_section():
    table, trials = article()
    accuracy = table.column("val_accuracy").to_numpy() - 0.02
    table = table.append_column("test_accuracy", pa.array(accuracy))
    text = html.render(summarize(table.append_column("test_loss", pa.array(1 - accuracy)), trials))
    assert "<dt>On test images</dt><dd>0.916<small>95 % interval " in text
    assert "<h2>On test images, which chose nothing</h2>" in text
    assert read(text).column("table-held_out", 0)[0] == "rmsprop + constant"


def test_a_page_without_any_result_promises_nothing():
    waiting = summarize(COLUMNS.empty_table(), [trial("adam + x", 0, status="waiting")])
    diverged = summarize(*grown({("o", s): Course(0.7, 3, diverges=(0, 1)) for s in "ab"}, 2, 4))
    for text in (html.render(waiting), html.render(diverged)):
        read(text)
        assert "May be the best" not in text
        assert 'id="pairs"' not in text
    assert "How fast to" not in html.render(waiting)


def test_the_page_needs_nothing_from_outside(page):
    assert read(page).outside == []
    assert "default-src 'none'" in page
    addresses = set(re.findall(r"https?://[^\"'\s<>)]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "@import" not in page
    assert "url(" not in re.sub(r"url\(#", "", page)


def test_names_cannot_break_the_page():
    bad = "<script>alert(1)</script>\"'&$title"
    trials = [TrialDescription(f"t{s}", bad, "x", s, 2, 0.1, status="stopped", reason=bad) for s in (0, 1)]
    comparison = summarize(*history([(t, [0.5, 0.6 + t.seed / 10]) for t in trials]), sweep=bad, notes=[bad])
    text = html.render(comparison)
    read(text)
    assert text.count("<script>") == 1
    assert "alert(1)</script>" not in text
    assert read(text).column("table-ranking", 1) == [f"{bad} + x"]


def test_every_row_of_a_large_grid_is_in_the_page():
    comparison = summarize(*square(12, seeds=1, epochs=4))
    reader = read(html.table(tables.ranking(comparison)) + html.table(tables.targets(comparison)))
    assert reader.column("table-ranking", 1) == comparison.ranking.column("recipe").to_pylist()
    assert len(reader.column("table-targets", 0)) == 144


def test_what_was_not_asked_is_said_in_words():
    text = html.render(summarize(*worked({"a + x": [0.9]})))
    assert "nothing is known about sensitivity" in text
    assert "Every trial completed." in text
    assert 'id="published"' not in text
    assert "one seed: no interval" in text


CLICK = "document.querySelectorAll('#table-{table} th button')[{column}].click();"


def test_in_chromium_headings_sort_by_value(page, tmp_path):
    click = CLICK.format(table="ranking", column=1) + CLICK.format(table="targets", column=2) * 2
    click += CLICK.format(table="cost", column=1)
    sorted_page = browse(page, tmp_path, click)
    names = sorted_page.column("table-ranking", 1)
    assert names == sorted(names)
    assert names != read(page).column("table-ranking", 1)
    assert sorted_page.tables["table-ranking"][0][1][0] == "ascending"
    epochs = sorted_page.column("table-targets", 2)
    assert sorted_page.tables["table-targets"][0][2][0] == "descending"
    assert epochs[0] == "never"
    assert [int(e) for e in epochs if e != "never"] == [31, 25, 11, 7, 5, 5]
    assert sorted_page.column("table-cost", 0)[-1] == "all"


def test_in_chromium_what_is_not_known_stays_last(page, tmp_path):
    for clicks, order in ((1, 1), (2, -1)):
        sorted_page = browse(page, tmp_path, CLICK.format(table="ranking", column=5) * clicks)
        p = sorted_page.column("table-ranking", 5)
        assert p[-2:] == ["", ""]
        numbers = [float(text) for text in p[:-2]]
        assert numbers == sorted(numbers)[::order]
