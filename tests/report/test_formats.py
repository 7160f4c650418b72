"""The table of formats: light to import, clear about what it does not know."""

import subprocess
import sys

import pytest

from experiments.settings import InputError
from orchestrator.analysis.summary import summarize
from orchestrator.report import formats
from tests.support.histories import worked

LIGHT = """
import sys
import orchestrator.report.formats, orchestrator.report.json, orchestrator.report.terminal
heavy = [m for m in ("ray", "keras", "tensorflow", "pandas", "scipy", "matplotlib", "sklearn") if m in sys.modules]
assert not heavy, heavy
from tests.support.histories import worked
from orchestrator.analysis.summary import summarize
orchestrator.report.formats.render("json", summarize(*worked({"a + x": [0.9, 0.8], "b + x": [0.7, 0.5]})))
# pyarrow itself looks for pandas when it makes its first array.
heavy = [m for m in ("ray", "keras", "tensorflow", "matplotlib", "sklearn") if m in sys.modules]
assert not heavy, heavy
"""


def test_importing_and_summarizing_start_nothing_heavy():
    process = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


def test_unknown_formats_and_tables_are_named():
    comparison = summarize(*worked({"a + x": [0.9]}))
    with pytest.raises(InputError, match="did you mean 'markdown'"):
        formats.render("markdwon", comparison)
    with pytest.raises(InputError, match="unknown format 'parquet'; expected one of"):
        formats.render("parquet", comparison)
    with pytest.raises(InputError, match="unknown format 'docx'; expected one of: csv, parquet, png, svg"):
        formats.files("docx", comparison)
    with pytest.raises(InputError, match="did you mean 'ranking'"):
        formats.render("csv", comparison, table="rankings")
