"""How long a comparison of 10,000 trials x 40 epochs takes, and how much memory: `pytest -m benchmark -s`."""

import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_SECONDS, LIMIT_BYTES = 5.0, 2**30

PROGRAM = """
import resource, sys, time
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
sys.path.insert(0, sys.argv[2])
began = time.perf_counter()
from orchestrator.analysis.summary import TrialDescription, summarize
from orchestrator.report import json
imported = time.perf_counter() - began
table = pq.read_table(sys.argv[1])
trials = [
    TrialDescription(f"trial-{n:05}", f"optimizer-{n // 300 % 34}", f"schedule-{n // 3 % 100}", n % 3, 40, 0.1)
    for n in range(10_000)
]
began = time.perf_counter()
found = summarize(table, trials)
took = time.perf_counter() - began
began = time.perf_counter()
json.render(found)
print(imported, took, time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def write(path: Path) -> None:
    """A history of 400,000 rows, in no order."""
    import hashlib

    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tests.support.histories import COLUMNS, STARTED

    trials, epochs = 10_000, 40
    random = np.random.default_rng(0)
    trial, epoch = np.repeat(np.arange(trials), epochs), np.tile(np.arange(epochs), trials)
    order = random.permutation(len(trial))
    trial, epoch = trial[order], epoch[order]
    accuracy = 1 - 0.5 ** (1 + epoch / 8) + random.normal(0, 0.01, len(trial))
    columns = {
        "sweep": ["big"] * len(trial),
        "trial_id": [f"trial-{n:05}" for n in trial],
        "optimizer": [f"optimizer-{n // 300 % 34}" for n in trial],
        "schedule": [f"schedule-{n // 3 % 100}" for n in trial],
        "seed": trial % 3,
        "epoch": epoch,
        **dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"), accuracy),
        **dict.fromkeys(("learning_rate_end", "seconds", "images_per_second"), accuracy),
        "epoch_key": [hashlib.sha256(str(n).encode()).hexdigest() for n in range(len(trial))],
        "reused": [False] * len(trial),
        "host": ["node"] * len(trial),
        "device": ["cpu"] * len(trial),
        "started_at": [STARTED] * len(trial),
    }
    pq.write_table(pa.table(columns, schema=COLUMNS), path)


@pytest.mark.benchmark
def test_ten_thousand_trials(tmp_path: Path) -> None:
    write(tmp_path / "history.parquet")
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "history.parquet"), root]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    imported, took, written, peak = map(float, done.stdout.split())
    print(f"\nimport {imported:.2f} s, summarize {took:.2f} s, JSON {written:.2f} s, peak {peak / 2**20:.0f} MiB")
    assert took < LIMIT_SECONDS
    assert peak < LIMIT_BYTES
