"""Settings that mean one computation, written in one way: what the built-in trainer makes of them.

Two descriptions are equal exactly where the numbers are. The names in them are part of every key.
"""

from collections.abc import Mapping
from typing import Any

from experiments.datasets import Data, Description
from experiments.models import vgg
from experiments.models.vgg import Model
from experiments.optimizers.classes import MOMENTUM
from experiments.optimizers.optimizer import Optimizer

CPU, GPU = "cpu", "gpu"


def data(settings: Data, description: Description) -> dict[str, Any]:
    """Which images in which order, and how they are changed.

    The fingerprint holds for the images that a limit leaves, wherever they lie; how many are held out, for the
    fraction that gave their number. Without a test set there is no fact of one.
    """
    test = {"test_images": description.test} if description.test else {}
    return {
        "source": settings.name,
        "images": description.fingerprint,
        "image_size": settings.image_size,
        "validation_images": description.validation,
        **test,
        "split_seed": settings.split_seed,
        "horizontal_flip": settings.augmentation.horizontal_flip,
        "shift": settings.augmentation.shift,
    }


def model(settings: Model) -> dict[str, Any]:
    """The network, layer by layer, and how its weights are drawn.

    Widths that are rounded to the same layers are one network, and a head without dropout has no rate of it.
    """
    head = {"dense": vgg.dense(settings), "dropout": settings.dropout + 0.0} if settings.head == "classic" else {}
    return {
        "name": settings.name,
        "channels": list(vgg.channels(settings)),
        "head": settings.head,
        "initializer": settings.initializer,
        **head,
    }


def optimizer(settings: Optimizer, precision: str, cycles_momentum: bool, compiled_whole: bool) -> dict[str, Any]:
    """The optimizer but for its learning rates; with `cycles_momentum` also but for the momentum of each step.

    Keras's AdamW is its Adam with a weight decay by default. No layer here is an embedding, and Muon leaves out a
    layer that any of its patterns names.

    A weight decay of 0 takes nothing from a weight; a loss scaled by 1 stays what it is, but for mixed_float16,
    where no factor means one that adapts. Where a step is `compiled_whole` they count all the same: nobody knows
    how the operations beside them are rounded then.
    """
    result = {name: _number(value) for name, value in settings.settings.items()}
    if not compiled_whole:
        for name in ("weight_decay", "adam_weight_decay"):
            if result.get(name) == 0:
                result[name] = None
        if precision != "mixed_float16" and result["loss_scale_factor"] == 1:
            result["loss_scale_factor"] = None
    if settings.class_name == "Muon":
        del result["exclude_embeddings"]
        result["exclude_layers"] = sorted(set(result["exclude_layers"] or ()))
    if cycles_momentum:
        for name in MOMENTUM[settings.class_name]:
            del result[name]
    return {"class": "Adam" if settings.class_name == "AdamW" else settings.class_name, **result}


def compiled_whole(backend: str, deterministic: bool, environment: Mapping[str, str]) -> bool:
    """Whether XLA makes one program of a weight step; TensorFlow keeps its operations apart unless it is asked to.

    >>> compiled_whole("tensorflow", True, {}), compiled_whole("jax", True, {})
    (False, True)
    """
    apart = backend == "tensorflow" and deterministic and "TF_XLA_FLAGS" not in environment
    return not apart


def deterministic(setting: bool, device: str) -> bool:
    """Whether operations are deterministic: on a CPU they are in any case."""
    return setting or device == CPU


def _number(value: Any) -> Any:
    return value + 0.0 if isinstance(value, float) else value  # there is one zero
