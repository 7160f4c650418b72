"""The test figures of the recipes that may be the best, and by how much their validation figures were too good."""

import numpy as np
import pyarrow as pa

from orchestrator.analysis.comparison import Column, bounds, interval_columns, recipe_columns, table
from orchestrator.analysis.observations import METRICS, TrialArrays
from orchestrator.analysis.ranking import Ranking
from orchestrator.statistics import descriptive

TEST_METRIC = {
    "val_accuracy": "test_accuracy",
    "accuracy": "test_accuracy",
    "val_loss": "test_loss",
    "loss": "test_loss",
}
"""The test metric that stands beside each monitored metric."""


def held_out_table(arrays: TrialArrays, ranking: Ranking, monitor: str, sign: int, level: float) -> pa.Table:
    """The final metric on validation and on test images, one row per recipe of the confidence set.

    Optimism is how much better the monitored metric is than the same metric on the test images, over the seeds
    that have both. Only the set is shown: to choose among all recipes by test images would use them up.
    """
    metric = TEST_METRIC[monitor]
    results = arrays.results
    last = arrays.last_rows(results)
    test, monitored = arrays.test[metric][last], arrays.metrics[monitor][last]
    measured = np.isfinite(test) & np.isfinite(monitored)
    groups, count = arrays.recipe[results][measured], len(arrays.recipes)
    on_test = descriptive.intervals(test[measured], groups, count, bounds(metric), level)
    optimism = descriptive.intervals(sign * (monitored - test)[measured], groups, count, (-np.inf, np.inf), level)
    validated = descriptive.intervals(monitored[measured], groups, count, bounds(monitor), level)
    rows = np.array([r for r in ranking.order if ranking.claim.in_set[r] and on_test.n[r]], np.int64)
    label = metric.replace("_", " ")
    columns = recipe_columns([arrays.recipes[r] for r in rows])
    columns |= {"n": Column(on_test.n[rows], "seeds with test figures")}
    columns |= {"final_mean": Column(validated.mean[rows], f"final {METRICS[monitor]}")}
    columns |= interval_columns("test", on_test, rows, f"final {label}")
    columns |= interval_columns("optimism", optimism, rows, f"{METRICS[monitor]} better than {label} by")
    return table("On test images, which chose nothing", columns)
