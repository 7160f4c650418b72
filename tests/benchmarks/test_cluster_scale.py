"""A thousand trials on eight simulated nodes with a trainer that sleeps: `pytest -m benchmark -s`."""

import json
import os
import resource
import time
from pathlib import Path

import pyarrow.compute as pc
import pytest

from orchestrator.storage.store import Store
from tests.support.nodes import nodes
from tests.support.sweeps import small

NODES = int(os.environ.get("NODES", "8"))
TRIALS = int(os.environ.get("TRIALS", "1000"))
EPOCHS, SECONDS = 4, float(os.environ.get("SECONDS", "1.0"))
TARGET = 1.1


@pytest.mark.benchmark
def test_a_thousand_trials_on_eight_nodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = small(
        name="scale",
        epochs=EPOCHS,
        seeds=list(range(TRIALS)),
        optimizers={"sgd": {"class": "SGD"}},
        schedules={"constant": {}},
        save_best=False,
        trainer="tests.support.fakes:PlacedTrainer",
    ).document
    file = tmp_path / "scale.yaml"
    file.write_text(json.dumps(document))
    pace = tmp_path / "pace"
    pace.write_text(str(SECONDS))
    cache = str(tmp_path / "cache")
    with nodes(tmp_path, PACE=str(pace), SWEEP_CACHE=cache) as cluster:
        for _ in range(NODES):
            cluster.add(num_cpus=1)
        began = time.perf_counter()
        run = cluster.sweep("run", file, "--results", tmp_path / "r", "--address", cluster.address, "--json")
        out, err = run.communicate(timeout=3600)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = time.perf_counter() - began
    assert run.returncode == 0, err[-3000:]
    done = json.loads(out)
    assert done["trials"]["completed"] == TRIALS
    rows = Store.at(str(tmp_path / "r")).history("scale")[0]
    slept = [t for table in rows.values() for t in table["started_at"].to_pylist()]
    span = (max(slept) - min(slept)).total_seconds() + SECONDS
    inside = sum(pc.sum(table["seconds"]).as_py() for table in rows.values())
    load = " ".join(f"{value:.0f}" for value in os.getloadavg())
    ideal = TRIALS * EPOCHS * SECONDS / NODES
    with capsys.disabled():
        print(f"\nideal {ideal:.1f} s; first epoch to last {span:.1f} s ({span / ideal - 1:.1%} over)")
        over = done["seconds"] / ideal - 1
        print(f"the run {done['seconds']:.1f} s ({over:.1%} over), the whole command {seconds:.1f} s")
        busy = used.ru_utime + used.ru_stime
        print(
            f"the driver's processor {busy:.1f} s, {1000 * busy / (TRIALS * EPOCHS):.1f} ms an epoch; load {load}"
        )
        print(f"in the trainer {inside / NODES:.1f} s a worker")
    assert done["seconds"] < TARGET * ideal
