"""The page: complete in itself, safe with any name, and sorting in a real browser."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from orchestrator.report import html, layout
from orchestrator.summary import Planned, summarize
from tests.histories import PUBLISHED, article, history, square, worked

VOID = {"meta", "br", "link", "img"}


class Reader(HTMLParser):
    """Collects ids, links, texts of cells by table, and complains about tags that do not match."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.outside = [], [], [], []
        self.tables, self.table, self.cell = {}, None, None

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if tag == "a" else []
        self.outside += [
            v for k, v in given.items() if k in ("src", "href", "xlink:href", "srcset") and v[:1] != "#"
        ]
        if tag == "table":
            self.table = self.tables.setdefault(given["id"], [])
        if tag == "tr" and self.table is not None:
            self.table.append([])
        if tag in ("td", "th") and self.table is not None:
            self.cell = [given.get("aria-sort", ""), ""]
            self.table[-1].append(self.cell)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.cell = None
        if tag == "table":
            self.table = None

    def handle_data(self, data):
        if self.cell is not None:
            self.cell[1] += data

    def column(self, table, place):
        return [row[place][1] for row in self.tables[table][1:]]


def read(page):
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def page():
    return html.render(summarize(*article(), published=PUBLISHED))


def test_the_page_answers_every_question_and_is_whole(page):
    reader = read(page)
    assert len(reader.ids) == len(set(reader.ids))
    for name in ("ranking", "matrix", "stages", "targets", "sensitivity", "published", "cost", "curves", "notes"):
        assert name in reader.ids
    assert {link[1:] for link in reader.links} <= set(reader.ids)
    assert reader.column("table-ranking", 1)[0] == "rmsprop + constant"
    assert (
        "Use rmsprop + constant: final validation accuracy 0.936 (95 % interval 0.902 to 0.970, 3 seeds)." in page
    )


def test_the_page_needs_nothing_from_outside(page):
    assert read(page).outside == []
    assert "default-src 'none'" in page
    addresses = set(re.findall(r"https?://[^\"'\s<>)]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "@import" not in page
    assert "url(" not in re.sub(r"url\(#", "", page)


def test_names_cannot_break_the_page():
    bad = "<script>alert(1)</script>\"'&$title"
    trials = [Planned(f"t{s}", bad, "x", s, 2, 0.1, status="stopped", reason=bad) for s in (0, 1)]
    found = summarize(*history([(t, [0.5, 0.6 + t.seed / 10]) for t in trials]), sweep=bad, notes=[bad])
    text = html.render(found)
    read(text)
    assert text.count("<script>") == 1
    assert "alert(1)</script>" not in text
    assert read(text).column("table-ranking", 1) == [f"{bad} + x"]


def test_every_row_of_a_large_grid_is_in_the_page():
    found = summarize(*square(12, seeds=1, epochs=4))
    reader = read(html.table(layout.ranking(found)) + html.table(layout.targets(found)))
    assert reader.column("table-ranking", 1) == found.ranking.column("recipe").to_pylist()
    assert len(reader.column("table-targets", 0)) == 144


def test_what_was_not_asked_is_said_in_words():
    text = html.render(summarize(*worked({"a + x": [0.9]})))
    assert "nothing is known about touchiness" in text
    assert "Every trial completed." in text
    assert 'id="published"' not in text
    assert "one seed: no interval" in text


def browse(page, tmp_path, script=""):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("did not run: there is no Chromium here")
    file = tmp_path / "page.html"
    file.write_text(page.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr, done.stderr
    return read(done.stdout)


CLICK = "document.querySelectorAll('#table-{table} th button')[{column}].click();"


def test_in_chromium_headings_sort_by_value(page, tmp_path):
    click = CLICK.format(table="ranking", column=1) + CLICK.format(table="targets", column=2) * 2
    click += CLICK.format(table="cost", column=1)
    shown = browse(page, tmp_path, click)
    names = shown.column("table-ranking", 1)
    assert names == sorted(names)
    assert names != read(page).column("table-ranking", 1)
    assert shown.tables["table-ranking"][0][1][0] == "ascending"
    epochs = shown.column("table-targets", 2)
    assert shown.tables["table-targets"][0][2][0] == "descending"
    assert epochs[0] == "never"
    assert [int(e) for e in epochs if e != "never"] == [31, 25, 11, 7, 5, 5]
    assert shown.column("table-cost", 0)[-1] == "all"


def test_in_chromium_what_is_not_known_stays_last(page, tmp_path):
    for clicks, order in ((1, 1), (2, -1)):
        shown = browse(page, tmp_path, CLICK.format(table="ranking", column=5) * clicks)
        p = shown.column("table-ranking", 5)
        assert p[-2:] == ["", ""]
        numbers = [float(text) for text in p[:-2]]
        assert numbers == sorted(numbers)[::order]
