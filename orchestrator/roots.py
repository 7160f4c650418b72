"""What decides a trial's numbers: the facts its root key is made of, and where this machine keeps data.

The names in the facts are part of every key; they say what a value is, not where the code has it.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from experiments import backends, datasets, equivalence
from experiments.checks import InputError
from experiments.equivalence import CPU, GPU
from experiments.feeding import Division, division
from orchestrator import lineage
from orchestrator.conditions import Conditions, conditions
from orchestrator.grid import Recipe
from orchestrator.sweep import DEFAULT_TRAINER

CACHE_VARIABLE = "SWEEP_CACHE"
Counting = Callable[[str], AbstractContextManager[datasets.Progress]]
"""Gives a progress callback for what is being counted."""
_LIBRARIES = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib")}


def cache_folder() -> Path:
    """Where this node keeps decoded data: $SWEEP_CACHE, or the user's cache folder.

    Raises InputError where that can be no folder, or nobody knows the user's.
    """
    try:
        own = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        asked = os.environ.get(CACHE_VARIABLE)
        folder = Path(asked).expanduser() if asked else Path(own) / "sweep-orchestrator"
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{CACHE_VARIABLE}: expected a folder for decoded images, got the file {folder}")
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{CACHE_VARIABLE}: no folder for decoded images: {reason}; set it to one") from None
    return folder


def silently(what: str) -> AbstractContextManager[datasets.Progress]:
    """Counting that nobody sees."""
    return nullcontext(lambda done, total: None)


class Roots:
    """The facts of a sweep's recipes; each data set is described once."""

    def __init__(self, trainer: str, counting: Counting = silently) -> None:
        """Of recipes that `trainer`, module:Class, trains; `counting` files that are fetched to this machine."""
        self._trainer, self._counting = trainer, counting
        self._descriptions: dict[datasets.Data, datasets.Description] = {}
        self._conditions: dict[tuple[bool, str | None], Conditions] = {}

    def description(self, recipe: Recipe) -> datasets.Description:
        """What the recipe's data is. Raises InputError where it cannot be read."""
        data = recipe.settings.data
        if data not in self._descriptions:
            with self._counting("fetching images") as counter:
                self._descriptions[data] = datasets.describe(data, cache_folder(), counter)
        return self._descriptions[data]

    def division(self, recipe: Recipe) -> Division:
        """How many images make a batch, and how many of them are computed at a time."""
        description = self.description(recipe)
        height, width, _ = description.shape
        return division(recipe.settings.batch_size, description.train, height, width)

    def steps(self, recipe: Recipe) -> int:
        """Weight steps in an epoch."""
        return -(-self.description(recipe).train // self.division(recipe).batch)

    def conditions(self, recipe: Recipe) -> Conditions:
        """What has to hold where the recipe is trained. Raises InputError for a trainer without a source."""
        resources = recipe.settings.resources
        kind = resources.gpus_per_trial > 0, resources.hardware
        if kind not in self._conditions:
            self._conditions[kind] = conditions(self._trainer, *kind)
        return self._conditions[kind]

    def facts(self, recipe: Recipe, cycles_momentum: bool) -> dict[str, Any]:
        """All that decides the recipe's numbers, but for the seed, the learning rates and a cycled momentum.

        Settings that mean the same to the built-in trainer give the same facts; what they mean to another one
        nobody knows, so its facts have them as they were given. Raises InputError where data, the trainer's source
        or the backend's library cannot be found.
        """
        settings, where = recipe.settings, self.conditions(recipe)
        return {
            "format": lineage.FORMAT,
            **(self._meant(recipe, cycles_momentum) if self._trainer == DEFAULT_TRAINER else self._given(recipe)),
            "precision": settings.precision,
            "backend": where.backend,
            "device": device_of(recipe),
            "hardware": where.hardware,
            "threads": settings.resources.cpus_per_trial,
            "versions": library_versions(where.backend),
            "trainer": where.trainer,
            "environment": dict(where.environment),
        }

    def _meant(self, recipe: Recipe, cycles_momentum: bool) -> dict[str, Any]:
        settings, divided, where = recipe.settings, self.division(recipe), self.conditions(recipe)
        deterministic = equivalence.deterministic(settings.deterministic, device_of(recipe))
        whole = equivalence.compiled_whole(where.backend, deterministic, where.environment)
        return {
            "data": equivalence.data(settings.data, self.description(recipe)),
            "model": equivalence.model(settings.model),
            "optimizer": equivalence.optimizer(recipe.optimizer, settings.precision, cycles_momentum, whole),
            "batch_size": divided.batch,
            "part_size": divided.part,
            "deterministic": deterministic,
        }

    def _given(self, recipe: Recipe) -> dict[str, Any]:
        settings = recipe.settings
        data = {key: value for key, value in asdict(settings.data).items() if key != "path"}
        return {
            "data": {**data, "images": self.description(recipe).fingerprint},
            "model": asdict(settings.model),
            "optimizer": {"class": recipe.optimizer.class_name, **recipe.optimizer.settings},
            "batch_size": settings.batch_size,
            "deterministic": settings.deterministic,
        }


def device_of(recipe: Recipe) -> str:
    """What kind of device the recipe is trained on."""
    return GPU if recipe.settings.resources.gpus_per_trial else CPU


def libraries(backend_name: str) -> tuple[str, ...]:
    """The libraries whose arithmetic decides the numbers."""
    return ("keras", "numpy", "pillow", *_LIBRARIES[backend_name])


@cache
def library_versions(backend_name: str) -> dict[str, str]:
    """The versions of the installed libraries whose arithmetic decides the numbers. Raises InputError."""
    try:
        return {name: metadata.version(name) for name in libraries(backend_name)}
    except metadata.PackageNotFoundError as error:
        raise InputError(
            f"KERAS_BACKEND: {backend_name} needs {error.name}, which is not installed; install it or choose "
            f"another of {backends.BACKENDS}"
        ) from None
