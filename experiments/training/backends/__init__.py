"""The protocol of a numerical backend, and the choice of one by KERAS_BACKEND: TensorFlow, or jax.

Between calls both keep every value in the Keras variables of a model and its optimizer. So resets, states and
files are the same code for both.
"""

import importlib
import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from experiments import environment
from experiments.settings import InputError
from experiments.training.backends.lean_imports import KERAS_EXTRAS, without
from experiments.training.microbatches import Chunk


class Sums(NamedTuple):
    """The sums over each microbatch of a chunk, up to the first one whose loss is not finite.

    `losses`: the sum of the images' losses; `correct`: how many were classified correctly; float32 [microbatches].
    """

    losses: NDArray[np.float32]
    correct: NDArray[np.float32]


class PendingSums(Protocol):
    """The sums of a chunk that the backend may still be computing."""

    def __call__(self) -> Sums:
        """Wait for the end."""


class CompiledModel(Protocol):
    """A Keras model, compiled once for all optimizers."""

    keras: Any

    def evaluate(self, chunk: Chunk) -> PendingSums:
        """The sums without dropout and without a weight step."""


class TrainStep(Protocol):
    """A weight step of a model with an optimizer, compiled once for all learning rates."""

    def train(self, chunk: Chunk) -> PendingSums:
        """One weight step for each batch in `chunk`."""


class Backend(Protocol):
    """A process that is ready to train: the result of each module's `start(threads, deterministic, cache)`."""

    @property
    def device(self) -> str:
        """Either "cpu" or the GPU's name."""

    def compile_model(self, model: Any) -> CompiledModel:
        """Compile `model`, a keras.Model with a layer "logits"."""

    def compile_train_step(self, model: Any, optimizer: Any, accumulates: bool) -> TrainStep:
        """Compile the weight step of a CompiledModel with `optimizer`, built.

        With `accumulates` a batch is several microbatches, else a single one.
        """

    def finite(self, variables: Iterable[Any]) -> bool:
        """Whether every value of these Keras variables is a finite number, tested on the device."""


class _Setup(NamedTuple):
    backend: Backend
    threads: int
    deterministic: bool


_setup: list[_Setup] = []


def start(threads: int, deterministic: bool = True, cache: Path | None = None) -> Backend:
    """The backend, started in this process. Below `cache` it may keep compiled code for the next process.

    A process cannot change its number of `threads` (nor, on a GPU, `deterministic`) later. Raises InputError for a
    change, for an unknown KERAS_BACKEND, and for one that is not installed.
    """
    if not _setup:
        name = os.environ["KERAS_BACKEND"] = environment.backend()
        if importlib.util.find_spec(name) is None:
            raise InputError(
                f"KERAS_BACKEND: {name} is not installed; install it or choose another of {environment.BACKENDS}"
            )
        module: Any = importlib.import_module(f"experiments.training.backends.{name}")
        with without(*KERAS_EXTRAS):
            _setup.append(_Setup(module.start(threads, deterministic, cache), threads, deterministic))
            _set_keras_configuration()
    backend, *settings = _setup[0]
    if settings[0] != threads or (settings[1] != deterministic and backend.device != "cpu"):
        raise InputError(
            f"trainer: this process has threads={settings[0]}, deterministic={settings[1]} and cannot change to "
            f"threads={threads}, deterministic={deterministic}; start another one"
        )
    return backend


def _set_keras_configuration() -> None:
    import keras

    # ~/.keras/keras.json may set any of these, and they are not in a trial's key.
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")
