"""Question 7: what it cost, and every trial that did not simply complete."""

import numpy as np
import pyarrow as pa

from orchestrator.analysis.comparison import Column, names, table
from orchestrator.analysis.observations import STATUSES, TrialArrays
from orchestrator.analysis.statistics import Ints

_WORST_FIRST = ("failed", "diverged", "stopped", "running", "waiting", "completed")


def _columns(runs: TrialArrays, groups: Ints, count: int) -> dict[str, Column]:
    status = np.array([t.status for t in runs.planned])
    columns = {"trials": Column(np.bincount(groups, minlength=count))}
    for name in STATUSES:
        columns[name] = Column(np.bincount(groups[status == name], minlength=count), f"trials {name}")
    row = np.repeat(groups, runs.count)
    cpus = np.repeat(np.array([t.cpus for t in runs.planned], np.float64), runs.count)
    gpus = np.repeat(np.array([t.gpus for t in runs.planned], np.float64), runs.count)
    here, taken = ~runs.reused, runs.reused
    columns |= {
        "epochs_trained": Column(np.bincount(row[here], minlength=count), "epochs trained here", "epochs"),
        "epochs_taken": Column(
            np.bincount(row[taken], minlength=count), "epochs taken, not trained again", "epochs"
        ),
    }
    for name, rows in (("hours", here), ("hours_saved", taken)):
        words = "spent on epochs trained" if name == "hours" else "saved by epochs taken"
        for unit, share in (("core", cpus), ("gpu", gpus)):
            used = np.bincount(row[rows], (runs.seconds * share)[rows] / 3600, count).astype(np.float64)
            columns[f"{unit}_{name}"] = Column(used, f"{unit.replace('gpu', 'GPU')} hours {words}", "h")
    return columns


def cost(runs: TrialArrays) -> tuple[pa.Table, pa.Table]:
    """Trials, epochs and hours by optimizer, and the same in one row for the whole sweep.

    Hours are recorded seconds times the cores (GPUs) a trial holds: validation is in them, start-up is not.
    """
    optimizers = list(dict.fromkeys(t.optimizer for t in runs.planned))
    groups = np.array([optimizers.index(t.optimizer) for t in runs.planned], np.int64)
    by = {"optimizer": Column(pa.array(optimizers, pa.string()))} | _columns(runs, groups, len(optimizers))
    all_in_one = _columns(runs, np.zeros(len(groups), np.int64), 1)
    whole = {"recipes": Column([len(runs.recipes)])} | all_in_one
    whole |= {"devices": Column(pa.array([", ".join(runs.devices)]))}
    return table("Cost by optimizer", by), table("Cost of the sweep", whole)


def _reason(runs: TrialArrays, trial: int) -> str:
    """What can be said of a trial that gave no reason of its own."""
    status, last = runs.planned[trial].status, runs.first[trial] + runs.count[trial] - 1
    if status == "stopped":
        return "early stopping"
    if status == "diverged" and runs.count[trial] and np.isinf(runs.metrics["loss"][last]):
        return f"the loss of epoch {runs.count[trial]} is not a number"
    return ""


def troubles(runs: TrialArrays) -> pa.Table:
    """Each trial that stopped early, diverged, failed or has not ended, with its reason, the worst first."""
    rows = [i for i, t in enumerate(runs.planned) if t.status != "completed" or not runs.count[i]]
    rows.sort(key=lambda i: _WORST_FIRST.index(runs.planned[i].status))
    trials = [runs.planned[i] for i in rows]

    def why(i: int) -> str:
        missing = "" if runs.count[i] or runs.planned[i].status == "waiting" else "no epoch is recorded"
        return "; ".join(part for part in (runs.planned[i].reason or _reason(runs, i), missing) if part)

    columns = {
        "trial": Column(pa.array([t.id for t in trials], pa.string())),
        "status": Column(pa.array([t.status for t in trials], pa.string())),
    }
    columns |= names([t.recipe for t in trials])
    columns |= {
        "seed": Column(pa.array([t.seed for t in trials], pa.int64())),
        "epochs": Column(runs.count[rows], "epochs recorded", "epochs"),
        "planned": Column(pa.array([t.epochs for t in trials], pa.int64()), "epochs planned", "epochs"),
        "reason": Column(pa.array([why(i) for i in rows], pa.string())),
    }
    return table("Trials that did not simply complete", columns)
