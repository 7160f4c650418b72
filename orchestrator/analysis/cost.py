"""Question 7: the cost of the sweep, and every trial that did not simply complete."""

import numpy as np
import pyarrow as pa

from orchestrator.analysis.comparison import Column, recipe_columns, table
from orchestrator.analysis.observations import STATUSES, TrialArrays
from orchestrator.statistics.descriptive import Ints

_WORST_FIRST = ("failed", "diverged", "stopped", "running", "waiting", "completed")


def _columns(arrays: TrialArrays, groups: Ints, count: int) -> dict[str, Column]:
    status = np.array([t.status for t in arrays.trials])
    columns = {"trials": Column(np.bincount(groups, minlength=count))}
    for name in STATUSES:
        columns[name] = Column(np.bincount(groups[status == name], minlength=count), f"trials {name}")
    row = np.repeat(groups, arrays.count)
    cpus = np.repeat(np.array([t.cpus for t in arrays.trials], np.float64), arrays.count)
    gpus = np.repeat(np.array([t.gpus for t in arrays.trials], np.float64), arrays.count)
    trained, reused = ~arrays.reused, arrays.reused
    columns |= {
        "epochs_trained": Column(np.bincount(row[trained], minlength=count), "epochs trained here", "epochs"),
        "epochs_taken": Column(
            np.bincount(row[reused], minlength=count), "epochs taken, not trained again", "epochs"
        ),
    }
    for name, rows in (("hours", trained), ("hours_saved", reused)):
        purpose = "spent on epochs trained" if name == "hours" else "saved by epochs taken"
        for unit, share in (("core", cpus), ("gpu", gpus)):
            hours = np.bincount(row[rows], (arrays.seconds * share)[rows] / 3600, count).astype(np.float64)
            columns[f"{unit}_{name}"] = Column(hours, f"{unit.replace('gpu', 'GPU')} hours {purpose}", "h")
    return columns


def cost_tables(arrays: TrialArrays) -> tuple[pa.Table, pa.Table]:
    """Trials, epochs and hours by optimizer, and their totals for the sweep in one row.

    Hours are recorded seconds times the cores (GPUs) of a trial: they include validation and leave out start-up.
    """
    optimizers = list(dict.fromkeys(t.optimizer for t in arrays.trials))
    groups = np.array([optimizers.index(t.optimizer) for t in arrays.trials], np.int64)
    by_optimizer = {"optimizer": Column(pa.array(optimizers, pa.string()))}
    by_optimizer |= _columns(arrays, groups, len(optimizers))
    totals = {"recipes": Column([len(arrays.recipes)])} | _columns(arrays, np.zeros(len(groups), np.int64), 1)
    totals |= {"devices": Column(pa.array([", ".join(arrays.devices)]))}
    return table("Cost by optimizer", by_optimizer), table("Cost of the sweep", totals)


def _reason(arrays: TrialArrays, trial: int) -> str:
    """The reason of a trial without a recorded reason, from its status and its last loss."""
    status, last_row = arrays.trials[trial].status, arrays.first[trial] + arrays.count[trial] - 1
    if status == "stopped":
        return "early stopping"
    if status == "diverged" and arrays.count[trial] and np.isinf(arrays.metrics["loss"][last_row]):
        return f"the loss of epoch {arrays.count[trial]} is not a number"
    return ""


def trouble_table(arrays: TrialArrays) -> pa.Table:
    """Each trial that stopped early, diverged, failed or has not ended, with its reason; failures come first."""
    rows = [i for i, t in enumerate(arrays.trials) if t.status != "completed" or not arrays.count[i]]
    rows.sort(key=lambda i: _WORST_FIRST.index(arrays.trials[i].status))
    trials = [arrays.trials[i] for i in rows]

    def reason_of(i: int) -> str:
        missing = "" if arrays.count[i] or arrays.trials[i].status == "waiting" else "no epoch is recorded"
        return "; ".join(part for part in (arrays.trials[i].reason or _reason(arrays, i), missing) if part)

    columns = {
        "trial": Column(pa.array([t.id for t in trials], pa.string())),
        "status": Column(pa.array([t.status for t in trials], pa.string())),
    }
    columns |= recipe_columns([t.recipe for t in trials])
    columns |= {
        "seed": Column(pa.array([t.seed for t in trials], pa.int64())),
        "epochs": Column(arrays.count[rows], "epochs recorded", "epochs"),
        "planned": Column(pa.array([t.epochs for t in trials], pa.int64()), "epochs planned", "epochs"),
        "reason": Column(pa.array([reason_of(i) for i in rows], pa.string())),
    }
    return table("Trials that did not simply complete", columns)
