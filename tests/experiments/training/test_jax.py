"""What is jax's own: the process it runs in, and a sweep on a machine that has no TensorFlow."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.command import ROOT
from tests.support.sweeps import written

ALREADY = """
import os, sys
from jax import numpy
from experiments.training import backends
numpy.ones(3)
try:
    backends.start(1)
except backends.InputError as error:
    sys.exit(str(error))
"""


def test_a_process_in_which_jax_is_at_work_with_other_settings_is_refused() -> None:
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    command = [sys.executable, "-c", ALREADY]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (1, "trainer: jax already runs in this process, not with 1 threads\n")


NO_TENSORFLOW = """
import sys


class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Nowhere())
"""


def test_a_sweep_runs_on_jax_where_tensorflow_cannot_be_imported(tmp_path: Path) -> None:
    """Driver and workers are new processes: each runs sitecustomize before all else."""
    (tmp_path / "sitecustomize.py").write_text(NO_TENSORFLOW)
    file = written(
        tmp_path,
        trainer="experiments.trainer:Trainer",
        data={"name": "digits", "image_size": 32, "limit": 40},
        model={"name": "vgg11", "width": 0.03125},
        optimizers={"sgd": {"class": "SGD", "learning_rate": 0.01, "momentum": 0.9}},
        schedules={"constant": {}, "step": {"every": 1}},
        seeds=[0],
        epochs=2,
        batch_size=16,
    )
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": paths}

    def sweep(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "orchestrator.cli", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)

    tensorflow = [sys.executable, "-c", "import tensorflow"]
    assert subprocess.run(tensorflow, env=environment, capture_output=True, check=False).returncode == 1
    asked = (str(file), "--results", str(tmp_path / "results"), "--json")
    first = sweep("run", *asked)
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    assert told["trials"] == {"total": 2, "completed": 2, "diverged": 0, "failed": 0}
    assert told["epochs"] == {"total": 4, "trained": 3, "reused": 1}
    again = sweep("run", *asked)
    assert json.loads(again.stdout)["epochs"] == {"total": 4, "trained": 0, "reused": 4}
