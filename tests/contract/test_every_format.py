"""Whatever a sweep looks like, every format shows it: the same figures, nothing invented, the same text twice."""

import io
import re

import pyarrow as pa
import pytest
from rich.console import Console

from orchestrator.analysis.summary import TrialDescription, summarize
from orchestrator.report import formats, number_format, terminal
from tests.support.histories import PUBLISHED, history, rows, square, trial, worked


def all_diverged():
    trials = [
        TrialDescription(f"t{s}", "sgd", "high", s, 3, 1.0, status="diverged", reason="loss is NaN")
        for s in (0, 1)
    ]
    nan = float("nan")
    parts = [rows(t, [0.5, nan], loss=[1, nan], accuracy=[0.5, nan], val_loss=[nan, nan]) for t in trials]
    return summarize(pa.concat_tables(parts), trials)


def rates():
    trials = [
        TrialDescription(f"{rate}-{b}-{s}", "sgd", "cosine", s, 2, rate, {"peak": f"{rate}", "batch_size": b})
        for rate in (0.1, 0.01)
        for b in ("16", "64")
        for s in (0, 1)
    ]
    return summarize(*history([(t, [0.5, 0.6 + t.learning_rate + t.seed / 50]) for t in trials]))


def under_way():
    table, trials = worked({"adam + cosine": [0.9, 0.8, 0.7]})
    running = trial("sgd + step", 0, status="running")
    failed = trial("sgd + step", 1, status="failed", reason="worker died")
    return summarize(pa.concat_tables([table, rows(running, [0.3])]), [*trials, running, failed])


def nothing_ended():
    running = trial("sgd + step", 0, status="running")
    return summarize(rows(running, [0.3, 0.4]), [running, trial("sgd + step", 1, status="waiting")])


CASES = {
    "published": lambda: summarize(
        *worked({"sgd + linear": [0.7, 0.72], "adam + constant": [0.9, 0.95]}), published=PUBLISHED
    ),
    "grid": lambda: summarize(*square(5, epochs=4)),
    "by loss": lambda: summarize(*square(2, epochs=4), monitor="val_loss", target=0.5),
    "one seed": lambda: summarize(*worked({"a + x": [0.9], "b + x": [0.8]})),
    "one recipe": lambda: summarize(*worked({"a + x": [0.9, 0.8]})),
    "one epoch": lambda: summarize(*worked({"a + x": [0.9, 0.8], "b + x": [0.7, 0.5]}, epochs=1)),
    "ties": lambda: summarize(*worked({"a + x": [0.9, 0.8], "b + x": [0.9, 0.8]})),
    "ties but for rounding": lambda: summarize(*worked({"a + x": [0.7, 0.1, 0.3], "b + x": [0.1, 0.3, 0.7]})),
    "equal seeds": lambda: summarize(*worked({"a + x": [0.9, 0.9], "b + x": [0.8, 0.7]})),
    "all diverged": all_diverged,
    "several rates": rates,
    "under way": under_way,
    "nothing ended": nothing_ended,
    "nothing planned": lambda: summarize(history([])[0], [], sweep="empty"),
}


def terminal_text(comparison):
    out = io.StringIO()
    terminal.render(comparison, Console(file=out, width=200), full=True)
    return out.getvalue()


def text_of(name, comparison):
    return terminal_text(comparison) if name == "terminal" else formats.render(name, comparison)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["terminal", *formats.TEXTS])
def test_every_text_shows_every_recipe_and_figure(case, name):
    comparison = CASES[case]()
    text = text_of(name, comparison)
    assert not re.search(r"\b(nan|None|null)\b", text) or name in ("json", "html")
    assert not re.search(r"(?i)\bnan\b", re.sub("loss is NaN", "", text)) or name == "html"
    for row in comparison.ranking.to_pylist():
        assert row["optimizer"] in text
        mean = row[f"final_{comparison.monitor}_mean"]
        if mean is not None:
            full = name in ("csv", "json")
            shown = number_format.number(mean) if not full else "inf" if mean == float("inf") else repr(mean)
            assert (shown if name != "latex" else shown.replace("inf", "$\\infty$")) in text
    if name not in ("csv", "json", "latex", "markdown", "html"):
        for sentence in comparison.answer:
            assert sentence in " ".join(text.split())


@pytest.mark.parametrize("case", ["ties", "ties but for rounding"])
@pytest.mark.parametrize("name", [n for n in ("terminal", *formats.TEXTS) if n != "csv"])
def test_every_text_says_that_two_share_the_first_place(case, name):
    text = " ".join(text_of(name, CASES[case]()).split())
    assert "a + x and b + x share the first place" in text
    if name != "json":
        assert not re.search(r"(?m)(^|[|>& ])2[*~]", text)


@pytest.mark.parametrize("name", ["terminal", *formats.TEXTS])
def test_no_text_shows_an_interval_without_width(name):
    text = text_of(name, CASES["equal seeds"]())
    assert "0.900 to 0.900" not in text
    assert ".900-.900" not in text
    assert ("equal in every seed" if name in ("csv", "json") else "none: equal") in " ".join(text.split())


@pytest.mark.parametrize("name", formats.TEXTS)
def test_every_text_is_the_same_twice(name):
    assert text_of(name, CASES["one epoch"]()) == text_of(name, CASES["one epoch"]())


# Every picture of every case is drawn for its page above; the files differ from it in how they are written.
DRAWN = ("one epoch", "all diverged", "nothing planned")


@pytest.mark.parametrize(
    ("name", "case"), [(n, c) for n in formats.FOLDERS for c in (DRAWN if n in ("svg", "png") else CASES)]
)
def test_every_folder_has_its_files(name, case):
    comparison = CASES[case]()
    files = formats.files(name, comparison)
    assert all(file.endswith(f".{name}") and content for file, content in files.items())
    if name in ("csv", "parquet"):
        assert {file.removesuffix(f".{name}") for file in files} == set(comparison.tables)
    elif comparison.ranking.num_rows:
        assert {f"curves.{name}", f"schedules.{name}", f"matrix.{name}"} <= set(files)
    else:
        assert files == {}
