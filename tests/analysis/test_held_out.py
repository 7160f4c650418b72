"""Test figures beside those that chose, and the optimism of the choice."""

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.analysis.summary import summarize
from tests.support.histories import worked

FINALS = {"a + x": [0.93, 0.95, 0.94], "b + x": [0.92, 0.95, 0.93], "c + x": [0.5, 0.51, 0.52]}
WORSE = np.array([0.01, 0.02, 0.015])


def with_tests(table, change):
    """The history with test figures: validation less `change` by seed."""
    change = np.asarray(change)[table.column("seed").to_numpy()]
    accuracy = pa.array(table.column("val_accuracy").to_numpy() - change)
    loss = pa.array(table.column("val_loss").to_numpy() + change)
    return table.append_column("test_accuracy", accuracy).append_column("test_loss", loss)


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_loss"])
def test_optimism_is_paired_by_seed_and_positive_where_validation_was_too_good(monitor):
    from scipy import stats

    table, trials = worked(FINALS)
    comparison = summarize(with_tests(table, WORSE), trials, monitor=monitor)
    rows = comparison.held_out.to_pylist()
    assert [row["recipe"] for row in rows] == ["a + x", "b + x"]
    values = np.array(FINALS["a + x"]) - WORSE
    interval = stats.t.interval(0.95, 2, WORSE.mean(), stats.sem(WORSE))
    assert rows[0]["test_mean"] == pytest.approx(values.mean() if monitor == "val_accuracy" else 1 - values.mean())
    assert rows[0]["optimism_mean"] == pytest.approx(0.015)
    assert (rows[0]["optimism_low"], rows[0]["optimism_high"]) == pytest.approx(interval)
    assert any("0.015 worse than on validation images" in sentence for sentence in comparison.answer)
    assert not any("no test set" in note for note in comparison.notes)


def test_test_figures_choose_nothing():
    table, trials = worked(FINALS)
    rng = np.random.default_rng(0)
    plain = summarize(table, trials)
    wild = summarize(with_tests(table, rng.uniform(-5, 5, 3)), trials)
    missing = summarize(with_tests(table, [np.nan, np.nan, np.nan]), trials)
    for name in ("ranking", "wins", "matrix", "stages", "targets", "certainty"):
        assert wild.tables[name].equals(plain.tables[name]), name
        assert missing.tables[name].equals(plain.tables[name]), name
    assert plain.held_out.num_rows == missing.held_out.num_rows == 0


def test_the_same_on_both_is_said():
    table, trials = worked(FINALS)
    comparison = summarize(with_tests(table, [0, 0, 0]), trials)
    assert any("the same as on validation images" in sentence for sentence in comparison.answer)
