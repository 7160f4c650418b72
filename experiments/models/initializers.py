"""The initializers of Keras that scale variance, drawn with NumPy: the same weights on every backend.

A kernel's values have mean 0 and variance `scale / n`, where n is its fan-in or the mean of fan-in and fan-out.
Keras's own draw with the backend's generator, which gives other numbers on each backend and which jax compiles
anew for every shape.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

TRUNCATION = 2.0
"""Standard deviations of the normal distribution beyond which nothing is drawn."""
TRUNCATED_DEVIATION = 0.87962566103423978
"""The standard deviation of what is left of a standard normal distribution there."""


@dataclass(frozen=True)
class Initializer:
    """The arguments of `keras.initializers.VarianceScaling`, by its names."""

    scale: float
    mode: Literal["fan_in", "fan_avg"]
    distribution: Literal["uniform", "truncated_normal"]


INITIALIZERS: Mapping[str, Initializer] = {
    "glorot_uniform": Initializer(1.0, "fan_avg", "uniform"),  # Glorot & Bengio 2010, equation 16
    "glorot_normal": Initializer(1.0, "fan_avg", "truncated_normal"),
    "he_uniform": Initializer(2.0, "fan_in", "uniform"),  # He et al. 2015, equation 10
    "he_normal": Initializer(2.0, "fan_in", "truncated_normal"),
    "lecun_uniform": Initializer(1.0, "fan_in", "uniform"),  # LeCun et al. 1998, section 4.6
    "lecun_normal": Initializer(1.0, "fan_in", "truncated_normal"),
}


def draw(name: str, shape: Sequence[int], generator: np.random.Generator) -> NDArray[np.float32]:
    """A kernel of `shape` (any number of spatial axes, inputs, outputs) by the row `name` of INITIALIZERS."""
    initializer = INITIALIZERS[name]
    *spatial, inputs, outputs = shape
    fan_in, fan_out = math.prod(spatial) * inputs, math.prod(spatial) * outputs
    fan = fan_in if initializer.mode == "fan_in" else (fan_in + fan_out) / 2
    variance = initializer.scale / fan
    if initializer.distribution == "uniform":
        values = 2 * generator.random(shape, np.float32) - 1
        return values * np.float32(math.sqrt(3 * variance))
    values = _truncated_normal(generator, shape)
    return values * np.float32(math.sqrt(variance) / TRUNCATED_DEVIATION)


def _truncated_normal(generator: np.random.Generator, shape: Sequence[int]) -> NDArray[np.float32]:
    """Standard normal values; those beyond the truncation are drawn again until none is left."""
    values = generator.standard_normal(math.prod(shape), np.float32)
    beyond = np.flatnonzero(np.abs(values) > TRUNCATION)
    while beyond.size:
        values[beyond] = generator.standard_normal(beyond.size, np.float32)
        beyond = beyond[np.abs(values[beyond]) > TRUNCATION]
    return values.reshape(shape)
