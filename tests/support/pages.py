"""HTML pages, read with a parser and in a real browser."""

import shutil
import subprocess
from html.parser import HTMLParser

import pytest


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


VOID = {"meta", "br", "link", "img"}
