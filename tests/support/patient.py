"""The real trainer, slowed down for as long as hosts are being broken."""

import time

import numpy as np
import numpy.typing as npt

from experiments.training.trainer import Trainer
from tests.support.hosts import BASE

PATIENCE = BASE / "shared" / "patience"
PAUSE = 3.0


class PatientTrainer(Trainer):
    """Takes three more seconds an epoch while there is a file called patience in the hosts' shared folder."""

    def epoch(
        self, n: int, learning_rates: npt.NDArray[np.float32], momentum: npt.NDArray[np.float32] | None = None
    ) -> dict[str, float]:
        """Sleep, then train."""
        if PATIENCE.exists():
            time.sleep(PAUSE)
        return super().epoch(n, learning_rates, momentum)
