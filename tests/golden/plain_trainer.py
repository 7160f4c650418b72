"""The trainer of the stores kept here. Do not touch: its bytes are part of every key in them, a formatter's too.

All arithmetic is float64 with +, -, * and /, and noise out of sha256: the same bits on every machine. Two
variables make it slow ($GOLDEN_PACE, seconds an epoch) or fail in epoch 1 ($GOLDEN_FAILS, an optimizer's class);
the numbers do not depend on them. It imports nothing of this project, so that only these bytes count.
"""

import hashlib
import os
import time

import numpy as np


class PlainTrainer:
    """Trains four numbers towards noise; each step depends on the seed, the state, the rate and the momentum."""

    device = "cpu"

    def __init__(self, threads, cache):
        self.job = None

    def reset(self, job):
        self.job = job
        self.weights = [noise("weights", job.seed, i) for i in range(4)]
        self.velocity = [0.0] * 4
        self.steps = 0

    def epoch(self, n, learning_rates, momentum=None):
        fails = os.environ.get("GOLDEN_FAILS") == self.job.optimizer.class_name
        if fails and n == 1:
            raise RuntimeError("the weights caught fire")
        time.sleep(float(os.environ.get("GOLDEN_PACE", "0")))
        pull = 1.0 if self.job.optimizer.class_name == "SGD" else 0.5
        cycled = [0.0] * len(learning_rates) if momentum is None else [float(m) for m in momentum]
        for rate, kept in zip(learning_rates, cycled, strict=True):
            for i in range(4):
                target = noise("target", self.job.seed, n, self.steps, i)
                self.velocity[i] = kept * self.velocity[i] + pull * float(rate) * (target - self.weights[i])
                self.weights[i] = self.weights[i] + self.velocity[i]
            self.steps += 1
        loss = (self.weights[0] * self.weights[0] + self.weights[1] * self.weights[1]) / 2.0
        val_loss = (self.weights[2] * self.weights[2] + self.weights[3] * self.weights[3]) / 2.0
        return {
            "loss": loss,
            "accuracy": 1.0 / (1.0 + loss),
            "val_loss": val_loss,
            "val_accuracy": 1.0 / (1.0 + val_loss),
            "images": 100,
        }

    def range_test(self, learning_rates):
        losses = [2.0 - r / (r + 0.01) + r * r / 50.0 for r in (float(rate) for rate in learning_rates)]
        return np.array(losses, np.float32)

    def state(self):
        return {
            "weights": np.array(self.weights, np.float64),
            "velocity": np.array(self.velocity, np.float64),
            "steps": np.array(self.steps, np.int64),
        }

    def restore(self, state):
        self.weights = [float(value) for value in state["weights"]]
        self.velocity = [float(value) for value in state["velocity"]]
        self.steps = int(state["steps"])

    def save(self, path):
        path.write_bytes(np.array(self.weights, "<f8").tobytes())


def noise(*names):
    """A number from -1 to 1 that these names decide."""
    digest = hashlib.sha256(repr(names).encode()).digest()
    return int.from_bytes(digest[:6], "little") / 2.0**47 - 1.0
