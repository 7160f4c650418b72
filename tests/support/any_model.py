"""A network with everything that VGG lacks, in the trainer; `python -m tests.support.any_model FILE` trains it.

It has normalized batches, random layers within models within models, a branch, and layers without a name.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.training.trainer import Job, Trainer
from tests.support.tiny import job, trainer


def network(shape: tuple[int, int, int], classes: int, noise: float) -> Any:
    """The keras.Model; without `noise` nothing in it is random."""
    import keras
    from keras import layers

    def block(*inside: Any) -> Any:
        inputs = keras.Input((8, 8, 4))
        x = layers.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
        for layer in (layers.BatchNormalization(momentum=0.9), layers.ReLU(), *inside, layers.Dropout(noise)):
            x = layer(x)
        return keras.Model(inputs, x)

    inputs = keras.Input(shape)
    x = layers.Conv2D(4, 4, strides=4, use_bias=False)(inputs)
    x = layers.GaussianNoise(noise)(x)
    x = layers.Add()([block(block())(x), layers.BatchNormalization(momentum=0.9)(x)])
    x = layers.GlobalAveragePooling2D()(layers.Dropout(noise)(x))
    logits = layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, layers.Activation("softmax")(logits))


class AnyTrainer(Trainer):
    """A trainer of `network`, with the model's `dropout` as its noise."""

    def _build(self, shape: tuple[int, int, int], classes: int) -> Any:
        return network(shape, classes, self._job.model.dropout)

    def _initial_weights(self) -> Iterator[NDArray[np.float32]]:
        random = np.random.default_rng(self._job.seed)
        for variable in self._model.keras.weights:
            ones = variable.name in ("gamma", "moving_variance")
            scale = 0.3 if variable.name == "kernel" else 0.0
            yield (ones + scale * random.normal(size=variable.shape)).astype(np.float32)


def new_trainer() -> AnyTrainer:
    """A trainer that has compiled nothing yet."""
    return AnyTrainer(threads=1, cache=trainer()._cache)


def case(noise: float = 0.3, **optimizer: Any) -> Job:
    """Twelve photos in batches of five, so that the last batch has two."""
    return job(optimizer or {"class": "Adam", "use_ema": True}, head="classic", dropout=noise)


def train(worker: Trainer, epochs: range) -> list[dict[str, float]]:
    """These epochs of the job that is under way."""
    return [worker.epoch(n, np.full(worker.steps, 0.01, np.float32)) for n in epochs]


def main(file: Path) -> None:
    """Four epochs in a process that has done nothing else."""
    worker = new_trainer()
    worker.reset(case())
    losses = [epoch[name] for epoch in train(worker, range(4)) for name in ("loss", "val_loss")]
    np.savez(file, losses=losses, **worker.state())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
