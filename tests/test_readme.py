"""What the README promises to readers of the store, run as it stands there."""

import re
from pathlib import Path

import pytest

from orchestrator.storage.store import Store
from tests.support.command import ROOT
from tests.support.rows import row

EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_there_are_examples_for_three_libraries() -> None:
    imported = {re.match(r"import (\w+)", example).group(1) for example in EXAMPLES}  # type: ignore[union-attr]
    assert imported == {"duckdb", "pandas", "polars"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split()[1])
def test_an_example_reads_the_history_of_a_store(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.at(str(tmp_path / "results"))
    for trial in ("a", "b"):
        label = f"optimizer-{trial}"
        rows = [row(trial, epoch, optimizer=label, val_accuracy=0.5 + epoch / 8) for epoch in range(4)]
        store.write_history("quickstart", trial, rows)
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    printed = capsys.readouterr().out
    assert "optimizer-a" in printed
    assert "optimizer-b" in printed
    assert "0.875" in printed
