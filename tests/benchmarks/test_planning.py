"""How long a plan of 10,000 trials x 40 epochs takes, and how much memory: `pytest -m benchmark -s`."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.planning import plan
from orchestrator.spec import sweep
from orchestrator.spec.sweep import Sweep
from orchestrator.storage.store import Store
from tests.faults.conftest import memory
from tests.support.command import ROOT
from tests.support.rows import row

__all__ = ["memory"]

LIMIT_SECONDS, LIMIT_BYTES = 5.0, 2**30
"""Seconds are printed beside their limit, not held against it: they are also about what else the machine does."""
RATES = (0.001, 0.003, 0.01, 0.03, 0.1)

PROGRAM = """
import resource, sys, time
from pathlib import Path
began = time.perf_counter()
from orchestrator.planning import plan
from tests.benchmarks.test_planning import big
from orchestrator.storage.store import Store
imported = time.perf_counter() - began
began, used = time.perf_counter(), time.process_time()
made = plan.make(big(), Store.at(sys.argv[1]))
epochs = made.epochs
took, used = time.perf_counter() - began, time.process_time() - used
assert len(made.trials) == 10_000 and (epochs.total, epochs.known) == (400_000, int(sys.argv[2])), epochs
print(imported, took, used, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def big() -> Sweep:
    """Ten optimizers, ten schedules, a hundred seeds, 40 epochs of 625 steps."""
    classes: dict[str, dict[str, Any]] = {"sgd": {"class": "SGD"}, "adam": {"class": "Adam"}}
    return sweep.from_document(
        {
            "name": "big",
            "data": {"name": "digits", "image_size": 32, "limit": 1666},
            "model": {"width": 0.0625},
            "batch_size": 2,
            "epochs": 40,
            "early_stopping": {"monitor": "val_accuracy", "patience": 40},
            "seeds": list(range(100)),
            "optimizers": {
                f"{label}-{rate}": {**settings, "learning_rate": rate}
                for label, settings in classes.items()
                for rate in RATES
            },
            "schedules": {
                "constant": {},
                "step": {"every": 12},
                "late": {"name": "step", "every": 24},
                "plateau": {},
                "cosine": {},
                "linear": {},
                "polynomial": {},
                "exponential": {"factor": 0.9, "every": 1},
                "warm": {"name": "cosine", "warmup": {"epochs": 5}},
                "cycle": {"name": "one-cycle"},
            },
        }
    )


def remember(store: Store) -> int:
    """Fill the store as if half of the trials were trained; how many epochs they have, shared ones too.

    Their accuracies do not grow, so that the plateaus react.
    """
    made = plan.make(big(), store)
    metrics = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    trained = made.trials[::2]
    for trial in trained:
        cursor = made.cursors[trial.id]
        while cursor.ending is None:
            cursor.append(cursor.next_key, metrics)
        rows = [
            row(
                trial.id,
                epoch,
                key,
                sweep="big",
                optimizer=trial.recipe.optimizer_label,
                schedule=trial.recipe.schedule_label,
                seed=trial.seed,
                **metrics,
            )
            for epoch, key in enumerate(cursor.keys)
        ]
        store.write_history("big", trial.id, rows)
        for key in {cursor.keys[0], cursor.keys[-1]}:
            store.checkpoints.write(key, {})
        store.write_model("big", trial.id, b"model", rows[0])
    store.compact("big", {trial.id for trial in trained})
    return sum(len(made.cursors[trial.id].keys) for trial in trained)


@pytest.mark.benchmark
def test_ten_thousand_trials(memory: Path) -> None:
    store = Store.at(str(memory / "results"))
    known = remember(store)
    assert known == 200_000
    assert store.files.names("big/history") == ["_finished.parquet"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(store), str(known)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    imported, took, used, peak = map(float, done.stdout.split())
    print(
        f"\nimport {imported:.2f} s, plan {took:.2f} s (processors busy {used:.2f} s), peak {peak / 2**20:.0f} MiB"
    )
    assert peak < LIMIT_BYTES
