"""Trainers for tests of everything but training: real classes with the real interface, named in a sweep file.

trainer: tests.support.fakes:VectorTrainer
"""

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.lr_range_test import exploded
from experiments.settings import InputError
from experiments.training.trainer import Job
from orchestrator.storage.filesystem import StoreError


class VectorTrainer:
    """Trains a vector of eight numbers, at once: every epoch depends on seed, state and each learning rate."""

    device = "cpu"

    def __init__(self, threads: int, cache: Path) -> None:
        """Nothing is warm here."""
        self.job: Job | None = None
        self.weights = np.zeros(8, np.float32)
        self.steps = np.int64(0)

    def reset(self, job: Job) -> None:
        """Start over for `job`."""
        self.job = job
        self.weights = np.random.default_rng(job.seed).normal(size=8).astype(np.float32)
        self.steps = np.int64(0)

    def epoch(self, n: int, learning_rates: npt.NDArray[np.float32]) -> dict[str, float]:
        """Pull the vector towards a noisy target at every step."""
        assert self.job is not None
        noise = np.random.default_rng([self.job.seed, n])
        pull = 1.0 if self.job.optimizer.class_name == "SGD" else 0.5
        for rate in learning_rates:
            self.weights += np.float32(pull) * rate * (noise.normal(size=8).astype(np.float32) - self.weights)
            self.steps += 1
        loss = float(np.mean(self.weights.astype(np.float64) ** 2))
        accuracy = 1.0 / (1.0 + loss)
        return {
            "loss": loss,
            "accuracy": accuracy,
            "val_loss": loss * 1.5,
            "val_accuracy": accuracy * 0.9,
            "images": 100,
        }

    def range_test(self, learning_rates: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """A loss that falls around a rate of 0.01 (Adam: 0.001), and leaves all bounds a thousandfold above."""
        assert self.job is not None
        best = 0.01 if self.job.optimizer.class_name == "SGD" else 0.001
        decades = np.log10(learning_rates / best)
        losses = 2.0 - 1.0 / (1.0 + np.exp(-4.0 * decades)) + np.where(decades > 3, 50.0 * (decades - 3), 0.0)
        return losses[: exploded(losses)].astype(np.float32)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The vector and the step count."""
        return {"weights": self.weights.copy(), "steps": np.array(self.steps)}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from `state`."""
        self.weights = np.array(state["weights"])
        self.steps = np.int64(state["steps"])

    def save(self, path: Path) -> None:
        """Write the vector."""
        path.write_bytes(self.weights.tobytes())


class MomentumTrainer(VectorTrainer):
    """A VectorTrainer that a momentum slows down."""

    def epoch(
        self, n: int, learning_rates: npt.NDArray[np.float32], momentum: npt.NDArray[np.float32] | None = None
    ) -> dict[str, float]:
        """Train with the rates that the momentum leaves."""
        assert self.job is not None
        assert self.job.cycles_momentum == (momentum is not None)
        return super().epoch(n, learning_rates if momentum is None else learning_rates * (1 - momentum))


class MisleadingTrainer(VectorTrainer):
    """Its metrics of the test set are best where the others are worst, without bound, or no numbers."""

    def epoch(self, n: int, learning_rates: npt.NDArray[np.float32]) -> dict[str, float]:
        """Train, and measure so."""
        metrics = super().epoch(n, learning_rates)
        wild = (float("nan"), float("inf"), -float("inf"), -metrics["val_loss"], 1e6 * n)
        return {
            **metrics,
            "test_loss": wild[n % 5],
            "test_accuracy": -metrics["val_accuracy"] if n % 3 else wild[0],
        }


class SlowTrainer(VectorTrainer):
    """A VectorTrainer whose epochs take a tenth of a second, so that all workers get a share."""

    def epoch(self, n: int, learning_rates: npt.NDArray[np.float32]) -> dict[str, float]:
        """Sleep, then train."""
        time.sleep(0.1)
        return super().epoch(n, learning_rates)


class UnteachableTrainer(VectorTrainer):
    """Its loss stays where it is at every learning rate."""

    def range_test(self, learning_rates: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Noise."""
        noise = np.random.default_rng(0).normal(size=len(learning_rates))
        return (0.69 + 0.02 * noise).astype(np.float32)


class PlacedTrainer(VectorTrainer):
    """A VectorTrainer that sleeps in each epoch for as long as the file $PACE says; its device is its Ray node.

    Every epoch that is begun leaves a line in $BEGUN, if that names a file: trial, epoch, node.
    """

    def __init__(self, threads: int, cache: Path) -> None:
        """Ask Ray where this is."""
        import ray

        super().__init__(threads, cache)
        self.device = ray.get_runtime_context().get_node_id()

    def epoch(self, n: int, learning_rates: npt.NDArray[np.float32]) -> dict[str, float]:
        """Leave a line, sleep, then train."""
        assert self.job is not None
        if os.environ.get("BEGUN"):
            with open(os.environ["BEGUN"], "a") as file:
                file.write(f"{self.job.optimizer.learning_rate}-{self.job.seed} {n} {self.device}\n")
        time.sleep(float(Path(os.environ["PACE"]).read_text()))
        return super().epoch(n, learning_rates)


class DivergingTrainer(VectorTrainer):
    """Its loss is not a number from epoch 2 on, with seed 1."""

    def epoch(self, n: int, learning_rates: npt.NDArray[np.float32]) -> dict[str, float]:
        """Train until it diverges."""
        metrics = super().epoch(n, learning_rates)
        assert self.job is not None
        return {**metrics, "loss": float("nan")} if n >= 2 and self.job.seed == 1 else metrics


class FailingTrainer(VectorTrainer):
    """Raises in epoch 1 of seed 1, every time."""

    def epoch(self, n: int, learning_rates: npt.NDArray[np.float32]) -> dict[str, float]:
        """Train until it fails."""
        assert self.job is not None
        if n == 1 and self.job.seed == 1:
            raise RuntimeError("the weights caught fire")
        return super().epoch(n, learning_rates)


class DyingTrainer(VectorTrainer):
    """Its process is killed in the middle of epoch 1, once per sweep and seed: the note of it lies in $DEATHS."""

    def epoch(self, n: int, learning_rates: npt.NDArray[np.float32]) -> dict[str, float]:
        """Die once, or train."""
        assert self.job is not None
        note = Path(os.environ["DEATHS"]) / f"{self.job.optimizer.class_name}-{self.job.seed}"
        if n == 1 and not note.exists():
            note.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().epoch(n, learning_rates)


class MortalTrainer(VectorTrainer):
    """Its process is killed in the middle of every epoch, once: the notes of it lie in $DEATHS."""

    def epoch(self, n: int, learning_rates: npt.NDArray[np.float32]) -> dict[str, float]:
        """Die once, or train."""
        note = Path(os.environ["DEATHS"]) / f"mortal-{n}"
        if not note.exists():
            note.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().epoch(n, learning_rates)


class SteadyTrainer(VectorTrainer):
    """Its process keeps the number of threads that it began with, as TensorFlow's does."""

    threads: int | None = None

    def __init__(self, threads: int, cache: Path) -> None:
        """Refuse another number than that of the first in this process."""
        super().__init__(threads, cache)
        SteadyTrainer.threads = SteadyTrainer.threads or threads
        if threads != SteadyTrainer.threads or os.environ["OMP_NUM_THREADS"] != str(threads):
            raise InputError(f"trainer: this process has threads={SteadyTrainer.threads}; start another one")


class RefusingTrainer(VectorTrainer):
    """Its range test finds a user's mistake."""

    def range_test(self, learning_rates: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Refuse."""
        raise InputError("data.path: the photos have gone")


class BurningTrainer(VectorTrainer):
    """Its range test fails."""

    def range_test(self, learning_rates: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Fail."""
        raise RuntimeError("the weights caught fire")


class LockedOutTrainer(VectorTrainer):
    """Its worker cannot use the store."""

    def range_test(self, learning_rates: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Fail."""
        raise StoreError("this node does not see the results")


class WithoutRangeTest:
    """Trains, and knows no range test."""

    device = "cpu"

    def __init__(self, threads: int, cache: Path) -> None:
        """Nothing is warm here."""

    def reset(self, job: Job) -> None:
        """Nothing."""

    def epoch(self, n: int, learning_rates: npt.NDArray[np.float32]) -> dict[str, float]:
        """Nothing."""
        raise NotImplementedError


class BoundlessTrainer(VectorTrainer):
    """With seed 1 its first epoch ends in losses without bound and accuracies that are no numbers."""

    def epoch(self, n: int, learning_rates: npt.NDArray[np.float32]) -> dict[str, float]:
        """Leave all bounds, or train."""
        metrics = super().epoch(n, learning_rates)
        assert self.job is not None
        worst = {
            "loss": float("inf"),
            "val_loss": float("inf"),
            "accuracy": float("nan"),
            "val_accuracy": float("nan"),
        }
        return {**metrics, **worst} if self.job.seed == 1 else metrics
