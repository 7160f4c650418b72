"""The columns of the history: which are read, and what is known by an epoch's key."""

import pyarrow as pa
import pytest

from experiments.callbacks import TEST_METRICS
from orchestrator.storage import checksums, history
from tests.support.rows import row

MEASURED = {"test_loss": 0.75, "test_accuracy": 0.5}


def written(rows: pa.Table) -> bytes:
    """A history file of those rows."""
    return checksums.table_bytes(rows)


def test_a_history_without_a_test_set_is_read_with_nulls_in_its_place() -> None:
    rows = history.table([row("a", epoch) for epoch in range(3)])
    before = history.read(written(rows.drop_columns([*TEST_METRICS])))
    assert before.schema.equals(history.HISTORY, check_metadata=True)
    assert before.equals(rows)
    assert [before[name].null_count for name in TEST_METRICS] == [3, 3]
    assert history.read(written(history.HISTORY.empty_table().drop_columns([*TEST_METRICS]))).num_rows == 0


def test_the_figures_of_the_test_set_are_read_back() -> None:
    rows = history.table([{**row("a", 0), **MEASURED}, {**row("a", 1), "test_loss": float("nan")}])
    assert str(history.read(written(rows)).to_pylist()) == str(rows.to_pylist())


@pytest.mark.parametrize("missing", [["loss"], ["test_loss"], ["loss", *TEST_METRICS]])
def test_other_columns_are_refused(missing: list[str]) -> None:
    rows = history.table([row("a", 0)]).drop_columns(missing)
    with pytest.raises(ValueError, match="its columns are not those expected"):
        history.read(written(rows))


def test_a_taken_epoch_brings_the_figures_of_its_test_set() -> None:
    trained = {**row("a", 0), **MEASURED}
    index = history.EpochIndex([history.table([trained]), history.table([row("b", 0)])])
    growing = history.GrowingIndex(history.EpochIndex())
    growing.add(trained)
    for known in (index, growing):
        taken = history.for_trial(known.row(trained["epoch_key"]), "s", "b", "sgd", "cosine", 1)
        assert {name: taken[name] for name in TEST_METRICS} == MEASURED
        assert taken["reused"]
        assert not {*TEST_METRICS} & {*(known.metrics(trained["epoch_key"]) or ())}
