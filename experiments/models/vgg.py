"""The six VGG configurations of Simonyan & Zisserman (2014), at any width.

Configurations are checked and their parameters counted without Keras; `build` imports it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from experiments.models import initializers
from experiments.settings import BELOW_ONE, Choice, InputError, Limit, checked

CHANNELS = (64, 128, 256, 512, 512)
DENSE = 4096
SMALLEST_IMAGE = 32  # five halvings
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
"""The dtype policies of Keras that a network can have."""


@dataclass(frozen=True)
class Configuration:
    """One column of the paper's table 1: the kernel sizes of the convolutions, block by block.

    `normalized` puts local response normalization behind the first convolution.
    """

    column: str
    kernels: tuple[tuple[int, ...], ...]
    normalized: bool = False


CONFIGURATIONS: Mapping[str, Configuration] = {
    "vgg11": Configuration("A", ((3,), (3,), (3, 3), (3, 3), (3, 3))),
    "vgg11-lrn": Configuration("A-LRN", ((3,), (3,), (3, 3), (3, 3), (3, 3)), normalized=True),
    "vgg13": Configuration("B", ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3))),
    "vgg16-c": Configuration("C", ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1))),
    "vgg16": Configuration("D", ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))),
    "vgg19": Configuration("E", ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3))),
}

WIDTH = Limit("a number above 0 and at most 64", lambda number: 0 < number <= 64)
"""At 64 a VGG16 has 60 thousand million weights."""


@dataclass(frozen=True)
class Model:
    """A configuration of the paper with `width` times its channels.

    `head` is "average" (global average pooling, then the classes) or "classic" (two dense layers of 4096 times
    `width` with `dropout` behind each). `initializer` fills kernels; biases start at 0.
    """

    name: Annotated[str, Choice("model", CONFIGURATIONS), "the configuration of the paper"] = "vgg16"
    width: Annotated[float, WIDTH, "so many times the channels of the paper"] = 1.0
    head: Annotated[
        str,
        Choice("head", ("average", "classic")),
        "average: global average pooling and the classes; classic: two dense layers of 4096 times `width` between",
    ] = "average"
    initializer: Annotated[
        str, Choice("initializer", initializers.INITIALIZERS), "how kernels are filled; biases start at 0"
    ] = "glorot_uniform"
    dropout: Annotated[float, BELOW_ONE, "behind each dense layer of the classic head"] = 0.5


def check(key_path: str, values: Mapping[str, Any]) -> Model:
    """The settings `values` under `key_path` as a Model, defaults filled in.

    Raises InputError for an unknown name or setting, a wrong type, and a value out of range.

    >>> check("model", {"name": "vgg16", "width": 0.25}).head
    'average'
    """
    settings = checked(key_path, values, Model)
    if "dropout" in values and settings["head"] != "classic":
        raise InputError(f"{key_path}.dropout: the average head has none; set head: classic, or leave it out")
    return Model(**settings)


def require(key_path: str, model: Model, image_size: int) -> None:
    """Raise InputError where images of `image_size` pixels are too small for `model`."""
    if image_size < SMALLEST_IMAGE:
        raise InputError(
            f"{key_path}: {model.name} halves an image five times, so it needs at least {SMALLEST_IMAGE} pixels, "
            f"got {image_size}"
        )


def channels(model: Model) -> tuple[int, ...]:
    """The channels of the five blocks: the paper's times `width`, rounded, never below 1.

    >>> channels(Model("vgg16", width=0.25))
    (16, 32, 64, 128, 128)
    """
    return tuple(max(1, round(count * model.width)) for count in CHANNELS)


def parameters(model: Model, input_shape: tuple[int, int, int], classes: int) -> int:
    """How many weights `model` trains for images of `input_shape` (height, width, channels).

    >>> parameters(Model("vgg16"), (224, 224, 3), 2)
    14715714
    """
    height, width, inputs = input_shape
    total = 0
    for outputs, kernels in zip(channels(model), CONFIGURATIONS[model.name].kernels, strict=True):
        for kernel in kernels:
            total += (kernel * kernel * inputs + 1) * outputs
            inputs = outputs
    if model.head == "classic":
        inputs *= (height // 32) * (width // 32)
        for _ in range(2):
            total += (inputs + 1) * dense(model)
            inputs = dense(model)
    return total + (inputs + 1) * classes


def dense(model: Model) -> int:
    """The outputs of each dense layer of the classic head: the paper's 4096 times `width`, never below 1."""
    return max(1, round(DENSE * model.width))


def build(model: Model, input_shape: tuple[int, int, int], classes: int, precision: str = "float32") -> Any:
    """A keras.Model from images (float in 0..1, [B, H, W, C]) to probabilities (float32, [B, classes]).

    `precision`, one of PRECISIONS, is the policy of every layer but the last two, "logits" and "predictions",
    which are float32 always. Its weights are the `initial_weights` of seed 0.
    """
    from keras import Input, layers
    from keras import Model as CompiledModel

    configuration = CONFIGURATIONS[model.name]
    common = {"kernel_initializer": "zeros", "dtype": precision}
    x = inputs = Input(input_shape, name="image")
    for block, (filters, kernels) in enumerate(zip(channels(model), configuration.kernels, strict=True), 1):
        for number, kernel in enumerate(kernels, 1):
            name = f"block{block}_conv{number}"
            x = layers.Conv2D(filters, kernel, padding="same", activation="relu", name=name, **common)(x)
            if configuration.normalized and block == number == 1:
                x = _local_response_normalization(x)
        x = layers.MaxPooling2D(name=f"block{block}_pool", dtype=precision)(x)
    if model.head == "average":
        x = layers.GlobalAveragePooling2D(name="average", dtype=precision)(x)
    else:
        x = layers.Flatten(name="flatten", dtype=precision)(x)
        for number in (1, 2):
            x = layers.Dense(dense(model), activation="relu", name=f"dense{number}", **common)(x)
            x = layers.Dropout(model.dropout, seed=0, name=f"dropout{number}", dtype=precision)(x)
    logits = layers.Dense(classes, name="logits", **{**common, "dtype": "float32"})(x)
    outputs = layers.Activation("softmax", name="predictions", dtype="float32")(logits)
    network = CompiledModel(inputs, outputs, name=model.name)
    _name_initializer(network, model)
    for variable, value in zip(network.weights, initial_weights(network, model, 0), strict=True):
        variable.assign(value)
    return network


def initial_weights(network: Any, model: Model, seed: int) -> Iterator[NDArray[np.float32]]:
    """The values a fresh `network` of `model` starts from, one float32 array per `network.weights`.

    Each has its own stream of random numbers, from (seed, its index) alone: they are the same on every backend.
    """
    for index, variable in enumerate(network.weights):
        if len(variable.shape) == 1:
            yield np.zeros(variable.shape, np.float32)
        else:
            stream = np.random.SeedSequence(seed, spawn_key=(index,))
            yield initializers.draw(
                model.initializer, variable.shape, np.random.Generator(np.random.PCG64(stream))
            )


def _name_initializer(network: Any, model: Model) -> None:
    """Let a saved network say what its kernels are drawn from, for those who build it anew without its weights."""
    from keras import initializers as installed

    for layer in network.layers:
        if hasattr(layer, "kernel_initializer"):
            layer.kernel_initializer = installed.get(model.initializer)


def _local_response_normalization(x: Any) -> Any:
    """Krizhevsky et al. 2012, section 3.3, with its constants, over five neighbouring channels.

    Of keras.ops, not a layer of its own, so that a saved model opens without this package.
    """
    from keras import ops

    depth = x.shape[-1]
    squares = ops.pad(ops.square(ops.cast(x, "float32")), ((0, 0), (0, 0), (0, 0), (2, 2)))
    neighbours = squares[..., :depth]
    for shift in range(1, 5):
        neighbours = neighbours + squares[..., shift : shift + depth]
    return ops.cast(ops.cast(x, "float32") / ops.power(2.0 + 1e-4 * neighbours, 0.75), x.dtype)
