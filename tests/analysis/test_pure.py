"""The analysis is pure: the same records give the same comparison, whenever and wherever."""

import ast
from pathlib import Path

import pytest

from tests.support.command import ROOT

CLOCKS = {"now", "utcnow", "today"}
FILES = {"open", "print", "input", "read_text", "read_bytes", "write_text", "write_bytes"}


def called(path: Path) -> set[str]:
    """The names of all functions and methods that a module calls, without the objects they belong to."""
    functions = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for node in functions
        if isinstance(node, ast.Attribute | ast.Name)
    }


@pytest.mark.parametrize("path", sorted((ROOT / "orchestrator/analysis").glob("*.py")), ids=lambda path: path.stem)
def test_no_module_calls_a_clock_or_opens_a_file(path: Path) -> None:
    assert called(path) & (CLOCKS | FILES) == set()


def test_a_clock_is_seen(tmp_path: Path) -> None:
    module = tmp_path / "late.py"
    module.write_text("from datetime import UTC, datetime\nSTART = datetime.now(UTC)\n")
    assert called(module) & CLOCKS == {"now"}
