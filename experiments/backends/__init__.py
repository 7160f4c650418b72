"""What a trainer needs of a numerical backend, and which one runs: TensorFlow, or jax by KERAS_BACKEND.

Both keep every value in the Keras variables of a network and its optimizer between calls, so that all the
rest (fresh starts, states, files) is the same code for both.
"""

import importlib
import importlib.util
import os
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from experiments.checks import InputError, unknown
from experiments.feeding import Chunk

BACKENDS = ("tensorflow", "jax")


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


class Network(Protocol):
    """A Keras network, compiled once for all optimizers."""

    keras: Any

    def evaluate(self, chunk: Chunk) -> Pending:
        """Losses and correct predictions, without dropout and without learning."""


class Program(Protocol):
    """A network and an optimizer, compiled once for all learning rates."""

    def train(self, chunk: Chunk) -> Pending:
        """One weight step for each batch in `chunk`."""


class Backend(Protocol):
    """A module of this package."""

    def start(self, threads: int, deterministic: bool) -> str:
        """Set up the process; return the device: "cpu" or the GPU's name."""

    def network(self, model: Any) -> Network:
        """Compile `model`, a keras.Model with a layer "logits"."""

    def program(self, network: Any, optimizer: Any, several_parts: bool) -> Program:
        """Compile `network` with `optimizer`, built; a batch is one part, or several of them."""


_started: dict[str, Any] = {}


def start(threads: int, deterministic: bool = True) -> tuple[Backend, str]:
    """The backend, set up for this process, and its device: "cpu" or the GPU's name.

    A process keeps its number of `threads` (and `deterministic`, on a GPU) for life. Raises InputError when
    asked for another, for an unknown KERAS_BACKEND, and for one that is not installed.
    """
    name = os.environ.setdefault("KERAS_BACKEND", BACKENDS[0])
    if name not in BACKENDS:
        raise unknown("KERAS_BACKEND", "backend", name, BACKENDS)
    if not _started:
        if importlib.util.find_spec(name) is None:
            raise InputError(f"KERAS_BACKEND: {name} is not installed; install it or choose another of {BACKENDS}")
        module: Any = importlib.import_module(f"experiments.backends.{name}")
        device = module.start(threads, deterministic)
        _independent_of_user_configuration()
        _started.update(module=module, device=device, threads=threads, deterministic=deterministic)
    same = deterministic == _started["deterministic"] or _started["device"] == "cpu"
    if threads != _started["threads"] or not same:
        raise InputError(
            f"trainer: this process has threads={_started['threads']}, deterministic="
            f"{_started['deterministic']} and cannot change to {threads}, {deterministic}; start another one"
        )
    return _started["module"], _started["device"]


def _independent_of_user_configuration() -> None:
    import keras

    # ~/.keras/keras.json may set any of these, and a trial's key does not know.
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy("float32")
