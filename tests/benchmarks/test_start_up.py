"""What a worker's start costs with and without what Keras imports in vain: `pytest -m benchmark -s`."""

import os
import resource
import subprocess
import sys

import pytest

from tests.support.command import ROOT

ALL = "import keras.wrappers, sklearn, matplotlib.pyplot"
LEAN = "from experiments.training import backends; backends.start(1)"
REPEATS = 5


def cpu_seconds(code: str, backend: str) -> float:
    """The least that a process which runs `code` takes, of several."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    taken = []
    for _ in range(REPEATS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=ROOT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(taken)


@pytest.mark.benchmark
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_worker_starts_without_what_it_does_not_use(backend: str) -> None:
    everything, lean = cpu_seconds(f"{ALL}; {LEAN}", backend), cpu_seconds(LEAN, backend)
    print(f"\n{backend}: {everything:.2f} CPU s with them, {lean:.2f} without: {lean / everything:.0%}")
    assert lean < everything
