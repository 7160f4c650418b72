"""What a trainer needs of a numerical backend, and which one runs: TensorFlow, or jax by KERAS_BACKEND.

Both keep every value in the Keras variables of a network and its optimizer between calls, so that all the
rest (fresh starts, states, files) is the same code for both.
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


class Measured(NamedTuple):
    """What a chunk gave, part by part, for as many parts as were computed.

    `losses`: the sum of the images' losses; `correct`: how many were classified correctly; float32 [parts].
    Computing ends with the first part whose loss is not finite.
    """

    losses: NDArray[np.float32]
    correct: NDArray[np.float32]


class Pending(Protocol):
    """A chunk that may still be computing."""

    def __call__(self) -> Measured:
        """Wait for it."""


class CompiledModel(Protocol):
    """A Keras network, compiled once for all optimizers."""

    keras: Any

    def evaluate(self, chunk: Chunk) -> Pending:
        """Losses and correct predictions, without dropout and without learning."""


class TrainStep(Protocol):
    """A network and an optimizer, compiled once for all learning rates."""

    def train(self, chunk: Chunk) -> Pending:
        """One weight step for each batch in `chunk`."""


class Backend(Protocol):
    """A process that is set up for training; what `start(threads, deterministic, cache)` of each module gives."""

    @property
    def device(self) -> str:
        """Either "cpu" or the GPU's name."""

    def network(self, model: Any) -> CompiledModel:
        """Compile `model`, a keras.Model with a layer "logits"."""

    def program(self, network: Any, optimizer: Any, several_parts: bool) -> TrainStep:
        """Compile `network` with `optimizer`, built; a batch is one part, or several of them."""

    def finite(self, variables: Iterable[Any]) -> bool:
        """Whether every value of these Keras variables is a finite number; looked at where the values lie."""


class _Started(NamedTuple):
    backend: Backend
    threads: int
    deterministic: bool


_started: list[_Started] = []


def start(threads: int, deterministic: bool = True, cache: Path | None = None) -> Backend:
    """The backend, set up for this process. Below `cache` it may keep what it has compiled, for the next process.

    A process keeps its number of `threads` (and, on a GPU, `deterministic`) for life. Raises InputError when
    asked for another, for an unknown KERAS_BACKEND, and for one that is not installed.
    """
    if not _started:
        name = os.environ["KERAS_BACKEND"] = environment.backend()
        if importlib.util.find_spec(name) is None:
            raise InputError(
                f"KERAS_BACKEND: {name} is not installed; install it or choose another of {environment.BACKENDS}"
            )
        module: Any = importlib.import_module(f"experiments.training.backends.{name}")
        with without(*KERAS_EXTRAS):
            _started.append(_Started(module.start(threads, deterministic, cache), threads, deterministic))
            _independent_of_user_configuration()
    backend, *now = _started[0]
    if now[0] != threads or (now[1] != deterministic and backend.device != "cpu"):
        raise InputError(
            f"trainer: this process has threads={now[0]}, deterministic={now[1]} and cannot change to "
            f"threads={threads}, deterministic={deterministic}; start another one"
        )
    return backend


def _independent_of_user_configuration() -> None:
    import keras

    # ~/.keras/keras.json may set any of these, and a trial's key does not know.
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")
