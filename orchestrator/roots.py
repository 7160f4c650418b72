"""What decides a trial's numbers: the facts its root key is made of, and where this machine keeps data."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from experiments import datasets
from orchestrator import lineage
from orchestrator.grid import Recipe

CACHE_VARIABLE = "SWEEP_CACHE"
Counting = Callable[[str], AbstractContextManager[datasets.Progress]]
"""Gives a progress callback for what is being counted."""
_LIBRARIES = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib")}


def cache_folder() -> Path:
    """Where this node keeps decoded data: $SWEEP_CACHE, or the user's cache folder."""
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sweep-orchestrator"


def backend() -> str:
    """The Keras backend that the workers will use."""
    return os.environ.get("KERAS_BACKEND", "tensorflow")


def silently(what: str) -> AbstractContextManager[datasets.Progress]:
    """Counting that nobody sees."""
    return nullcontext(lambda done, total: None)


class Roots:
    """The facts of a sweep's recipes; each data set is described once."""

    def __init__(self, trainer: str, counting: Counting = silently) -> None:
        """Of recipes that `trainer`, module:Class, trains; `counting` files that are fetched to this machine."""
        self._trainer, self._counting = trainer, counting
        self._descriptions: dict[datasets.Data, datasets.Description] = {}

    def description(self, recipe: Recipe) -> datasets.Description:
        """What the recipe's data is. Raises InputError where it cannot be read."""
        data = recipe.settings.data
        if data not in self._descriptions:
            with self._counting("fetching images") as counter:
                self._descriptions[data] = datasets.describe(data, cache_folder(), counter)
        return self._descriptions[data]

    def batch_size(self, recipe: Recipe) -> int:
        """Images a step: `full` is all that are trained on, and no batch is larger than that."""
        asked, there = recipe.settings.batch_size, self.description(recipe).train
        return there if asked == "full" else min(int(asked), there)

    def steps(self, recipe: Recipe) -> int:
        """Weight steps in an epoch."""
        return -(-self.description(recipe).train // self.batch_size(recipe))

    def facts(self, recipe: Recipe) -> dict[str, Any]:
        """All that decides the recipe's numbers, but for the seed and the learning rates."""
        settings = recipe.settings
        data = {key: value for key, value in asdict(settings.data).items() if key != "path"}
        return {
            "format": lineage.FORMAT,
            "trainer": self._trainer,
            "data": {**data, "fingerprint": self.description(recipe).fingerprint},
            "model": asdict(settings.model),
            "optimizer": {"class": recipe.optimizer.class_name, **recipe.optimizer.settings},
            "batch_size": self.batch_size(recipe),
            "precision": settings.precision,
            "deterministic": settings.deterministic,
            "backend": backend(),
            "device": "gpu" if settings.resources.gpus_per_trial else "cpu",
            "threads": settings.resources.cpus_per_trial,
            "versions": library_versions(backend()),
        }


def libraries(backend_name: str) -> tuple[str, ...]:
    """The libraries whose arithmetic decides the numbers."""
    return ("keras", "numpy", "pillow", *_LIBRARIES[backend_name])


@cache
def library_versions(backend_name: str) -> dict[str, str]:
    """The versions of the installed libraries whose arithmetic decides the numbers."""
    return {name: metadata.version(name) for name in libraries(backend_name)}
