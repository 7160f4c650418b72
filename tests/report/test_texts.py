"""CSV, Parquet, Markdown and LaTeX: numbers in full where programs read, nothing in a name that breaks a table."""

import csv as standard
import io
import math
import shutil
import subprocess

import pyarrow.parquet as pq
import pytest

from orchestrator.analysis.summary import TrialDescription, summarize
from orchestrator.report import csv, latex, markdown, parquet
from tests.support.histories import PUBLISHED, article, rows, square, worked

HOSTILE = "a|b&c_d%e$f#g{h}~^<i>\\[j]*`"


def hostile():
    trials = [
        TrialDescription(f"t{s}", HOSTILE, 'x,"y"', s, 2, 0.1, reason=HOSTILE, status="stopped") for s in (0, 1)
    ]
    parts = [rows(t, [0.5, 0.7 + t.seed / 10]) for t in trials]
    import pyarrow as pa

    return summarize(pa.concat_tables(parts), trials)


def test_csv_holds_every_number_in_full_and_reads_back():
    comparison = summarize(*article(), published=PUBLISHED)
    read = list(standard.DictReader(io.StringIO(csv.render(comparison, "targets"))))
    for row, parsed in zip(comparison.targets.to_pylist(), read, strict=True):
        assert float(parsed["epochs_median"]) == row["epochs_median"]
        assert float(parsed["score"]) == row["score"]
    assert any(math.isinf(float(row["epochs_median"])) for row in read)
    ranking = list(standard.DictReader(io.StringIO(csv.render(comparison))))
    assert ranking[0]["recipe"] == comparison.ranking.to_pylist()[0]["recipe"]
    assert [row["p"] for row in ranking if row["recipe"] == "sgd + range-test"] == [""]
    assert set(csv.files(comparison)) == {f"{name}.csv" for name in comparison.tables}


def test_csv_quotes_names():
    (row,) = standard.DictReader(io.StringIO(csv.render(hostile())))
    assert (row["optimizer"], row["schedule"]) == (HOSTILE, 'x,"y"')


def test_parquet_keeps_tables_labels_and_units():
    comparison = summarize(*article(), published=PUBLISHED)
    files = parquet.files(comparison)
    assert set(files) == {f"{name}.parquet" for name in comparison.tables}
    for name, table in comparison.tables.items():
        parsed = pq.read_table(io.BytesIO(files[f"{name}.parquet"]), page_checksum_verification=True)
        assert parsed.equals(table), name
        assert parsed.schema.metadata[b"title"] == table.schema.metadata[b"title"]
    seconds = pq.read_schema(io.BytesIO(files["ranking.parquet"])).field("seconds")
    assert seconds.metadata == {b"label": b"training time a trial, mean", b"unit": b"s"}


def test_parquet_reads_in_pandas():
    pandas = pytest.importorskip("pandas")
    comparison = summarize(*article())
    frame = pandas.read_parquet(io.BytesIO(parquet.files(comparison)["targets.parquet"]))
    assert frame["epochs_median"].isin([math.inf]).any()


def test_markdown_tables_are_whole():
    text = markdown.render(summarize(*article(), published=PUBLISHED))
    assert text.startswith("# demo\n\n**Use rmsprop + constant: final validation accuracy 0.936 ")
    assert "| 1\\* | rmsprop + constant | 0.936 | 0.902 to 0.970 |" in text
    for block in text.split("\n\n"):
        lines = block.split("\n")
        if lines[0].startswith("|"):
            assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_markdown_escapes_what_would_break_a_table():
    text = markdown.render(hostile())
    assert "a\\|b&c\\_d%e$f\\#g\\{h\\}\\~^\\<i\\>\\\\\\[j\\]\\*\\`" in text


def test_latex_uses_booktabs_and_labels_once():
    text = latex.render(summarize(*square(), published=PUBLISHED))
    assert text.count("\\toprule") == 2 * text.count("\\begin{longtable}")
    assert text.count("\\begin{longtable}") == text.count("\\end{longtable}")
    assert text.count("\\label{tab:matrix}") == 1
    assert "1$^{*}$ & rmsprop + warm-cosine & 0.946 & 0.914 to 0.977" in text


def test_latex_escapes_names():
    text = latex.render(hostile())
    assert r"a$|$b\&c\_d\%e\$f\#g\{h\}$\sim$\textasciicircum{}$<$i$>$\textbackslash{}[j]*`" in text


def test_latex_writes_infinity_and_negative_numbers_as_figures():
    diverged = TrialDescription("lost", "sgd", "high", 0, 2, 1.0, status="diverged")
    nan = float("nan")
    table = rows(diverged, [0.5, 0.1], val_loss=[1, nan], loss=[1, nan])
    published = {("sgd", "high", ()): {"val_accuracy": 0.5}}
    text = latex.render(summarize(table, [diverged], published=published))
    assert "$\\infty$" in text
    assert "$-$0.400" in text


@pytest.mark.parametrize("make", [lambda: summarize(*article(), published=PUBLISHED), hostile])
def test_latex_compiles(make, tmp_path):
    if not shutil.which("pdflatex"):
        pytest.skip("did not run: there is no pdflatex here")
    begin = "\\documentclass{article}\\usepackage{booktabs,longtable}\\begin{document}\n"
    (tmp_path / "t.tex").write_text(begin + latex.render(make()) + "\\end{document}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout[-2000:]


def test_an_empty_matrix_cell_is_empty():
    text = markdown.render(summarize(*worked({"a + x": [0.9], "b + y": [0.8]})))
    assert "| a | 0.900\\* |  |" in text
