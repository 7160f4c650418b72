"""A trainer whose numbers name their own lineage, and which leaves a line for every epoch that it has trained.

trainer: tests.generated.lineage_trainer:LineageTrainer
"""

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.training.trainer import Job

TRAINED = "TRAINED"
"""The environment variable that names the file of the lines: process id and loss of each epoch."""
PACE = "TRAINED_PACE"
"""The environment variable that says how many seconds an epoch takes."""
DIVERGING = 5
"""Of 256 epochs, how many end with a validation loss that is not a number."""


class LineageTrainer:
    """Its state is a digest of the job and of every learning rate so far, and its metrics are that digest.

    No two lineages have one loss, so whoever goes on from a wrong checkpoint is seen in the numbers.
    """

    device = "cpu"

    def __init__(self, threads: int, cache: Path) -> None:
        """Nothing is warm here."""
        self._digest = b""

    def reset(self, job: Job) -> None:
        """Start over for `job`, whose learning rates are not among what its lineage begins with."""
        optimizer = job.optimizer
        facts = (job.seed, job.data, job.model, optimizer.class_name, sorted(optimizer.settings.items()))
        self._digest = hashlib.sha256(repr((facts, job.batch_size, job.precision)).encode()).digest()

    def epoch(self, n: int, learning_rates: npt.NDArray[np.float32]) -> dict[str, float]:
        """The digest with this epoch's learning rates, as metrics."""
        time.sleep(float(os.environ.get(PACE, "0")))
        self._digest = hashlib.sha256(self._digest + learning_rates.tobytes()).digest()
        loss, accuracy, val_loss, val_accuracy = (
            int.from_bytes(self._digest[at : at + 6], "big") / 2**48 for at in (0, 6, 12, 18)
        )
        if os.environ.get(TRAINED):
            line = os.open(os.environ[TRAINED], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(line, f"{os.getpid()} {loss!r}\n".encode())
            os.close(line)
        return {
            "loss": loss,
            "accuracy": accuracy,
            "val_loss": float("nan") if self._digest[-1] < DIVERGING else val_loss,
            "val_accuracy": val_accuracy,
            "images": 100,
        }

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The digest."""
        return {"lineage": np.frombuffer(self._digest, np.uint8).copy()}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from the digest."""
        self._digest = state["lineage"].tobytes()

    def save(self, path: Path) -> None:
        """Write the digest."""
        path.write_bytes(self._digest)
