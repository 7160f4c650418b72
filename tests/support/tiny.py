"""Real training small enough for tests: photos of noise, dark or bright, and one warm trainer for them all."""

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from experiments import datasets, optimizers
from experiments.models import vgg
from experiments.training.trainer import Job, Trainer

KEEP = tempfile.TemporaryDirectory()


@functools.cache
def trainer() -> Trainer:
    """The trainer of this process: what it has compiled for one test serves the next."""
    return Trainer(threads=1, cache=Path(KEEP.name) / "cache")


@functools.cache
def photos(each: int = 8) -> Path:
    """A folder with `each` dark and `each` bright photos of 32 pixels."""
    from PIL import Image

    folder = Path(KEEP.name) / f"photos-{each}"
    rng = np.random.default_rng(0)
    for name, least in (("dark", 0), ("bright", 128)):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            pixels = rng.integers(least, least + 128, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def job(
    optimizer: Mapping[str, Any],
    *,
    batch_size: int | Literal["full"] = 5,
    seed: int = 0,
    folder: Path | None = None,
    precision: str = "float32",
    augmentation: Mapping[str, Any] | None = None,
    test: float = 0,
    **model: Any,
) -> Job:
    """12 photos to train on and 4 to validate on, unless there is another `folder` or a share for the `test`.

    The model is a very narrow VGG-11.
    """
    data = {"name": "images", "path": str(folder or photos()), "image_size": 32, "augmentation": augmentation}
    return Job(
        data=datasets.check("data", {**data, "test": test}),
        model=vgg.check("model", {"name": "vgg11", "width": 0.0625, "initializer": "he_uniform", **model}),
        optimizer=optimizers.check("optimizer", optimizer),
        batch_size=batch_size,
        seed=seed,
        precision=precision,
        deterministic=True,
    )


def rates(learning_rate: float) -> NDArray[np.float32]:
    """A falling learning rate for the steps of the job that is under way."""
    steps = trainer().steps
    return (learning_rate * np.linspace(1, 0.5, steps)).astype(np.float32)


def momenta(low: float, high: float) -> NDArray[np.float32]:
    """A rising momentum for the steps of the job that is under way."""
    return np.linspace(low, high, trainer().steps).astype(np.float32)


def weights(state: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """The values of a model's weights, in Keras's order."""
    return [value for name, value in state.items() if name.startswith("model/")]


def named(state: Mapping[str, NDArray[Any]], path: str) -> str:
    """The name in a state of the weight at Keras's `path`."""
    (name,) = (name for name in state if name.startswith("model/") and name.endswith(f"/{path}"))
    return name


def same(state: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> bool:
    """Whether two states are equal to the bit."""
    return state.keys() == other.keys() and all(
        state[name].dtype == other[name].dtype and state[name].tobytes() == other[name].tobytes() for name in state
    )
