"""The command `sweep`, run in this process."""

import sys
from pathlib import Path

import pytest

from orchestrator.cli import main

ROOT = Path(__file__).parents[2]


def command(*arguments: str | Path, capture: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `sweep` with these arguments."""
    before = sys.argv
    sys.argv = ["sweep", *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as left:
            main.main()
    finally:
        sys.argv = before
    captured = capture.readouterr()
    return int(left.value.code or 0), captured.out, captured.err
