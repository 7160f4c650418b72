"""The root key of a trial: the hash of all facts that decide its numbers.

The names of the facts are part of every key. They name what a value is, not the place of the code.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any

from experiments import datasets, equivalence
from experiments.environment import cache_folder, library_versions
from experiments.equivalence import CPU, GPU
from experiments.training.microbatches import Division, division
from orchestrator.cluster.conditions import Conditions, conditions
from orchestrator.planning import epoch_chain
from orchestrator.spec.sweep import DEFAULT_TRAINER
from orchestrator.spec.trials import Recipe

Counting = Callable[[str], AbstractContextManager[datasets.Progress]]
"""Opens a progress callback for the work of that label, such as fetching images."""


def silently(label: str) -> AbstractContextManager[datasets.Progress]:
    """Counting that shows nothing."""
    return nullcontext(lambda done, total: None)


class RootFacts:
    """The facts of a sweep's recipes; each data set is described once."""

    def __init__(self, trainer: str, counting: Counting = silently) -> None:
        """The facts of recipes that `trainer`, module:Class, trains; `counting` shows files that are fetched."""
        self._trainer, self._counting = trainer, counting
        self._descriptions: dict[datasets.Data, datasets.Description] = {}
        self._conditions: dict[tuple[bool, str | None], Conditions] = {}

    def description(self, recipe: Recipe) -> datasets.Description:
        """The description of the recipe's data. Raises InputError where the data cannot be read."""
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
        """The conditions of the recipe's machines. Raises InputError for a trainer whose source is missing."""
        resources = recipe.settings.resources
        kind = resources.gpus_per_trial > 0, resources.hardware
        if kind not in self._conditions:
            self._conditions[kind] = conditions(self._trainer, *kind)
        return self._conditions[kind]

    def facts(self, recipe: Recipe, cycles_momentum: bool) -> dict[str, Any]:
        """All that decides the recipe's numbers, except the seed, the learning rates and a cycled momentum.

        Settings with one meaning for the built-in trainer give the same facts. For another trainer their meaning
        is unknown, so its facts hold them as written. Raises InputError where the data, the trainer's source or
        the backend's library is missing.
        """
        settings, where = recipe.settings, self.conditions(recipe)
        built_in = self._trainer == DEFAULT_TRAINER
        return {
            "format": epoch_chain.FORMAT,
            **(self._by_meaning(recipe, cycles_momentum) if built_in else self._as_written(recipe)),
            "precision": settings.precision,
            "backend": where.backend,
            "device": device_of(recipe),
            "hardware": where.hardware,
            "threads": settings.resources.cpus_per_trial,
            "versions": library_versions(where.backend),
            "trainer": where.trainer,
            "environment": dict(where.environment),
        }

    def _by_meaning(self, recipe: Recipe, cycles_momentum: bool) -> dict[str, Any]:
        settings, divided, where = recipe.settings, self.division(recipe), self.conditions(recipe)
        deterministic = equivalence.deterministic(settings.deterministic, device_of(recipe))
        whole = equivalence.compiled_whole(where.backend, deterministic, where.environment)
        return {
            "data": equivalence.data(settings.data, self.description(recipe)),
            "model": equivalence.model(settings.model),
            "optimizer": equivalence.optimizer(recipe.optimizer, settings.precision, cycles_momentum, whole),
            "batch_size": divided.batch,
            "part_size": divided.microbatch,
            "deterministic": deterministic,
        }

    def _as_written(self, recipe: Recipe) -> dict[str, Any]:
        settings = recipe.settings
        data = {key: value for key, value in asdict(settings.data).items() if key != "path"}
        if not data["test"]:
            # No key of a sweep without a test set has a fact of one.
            del data["test"]
        return {
            "data": {**data, "images": self.description(recipe).fingerprint},
            "model": asdict(settings.model),
            "optimizer": {"class": recipe.optimizer.class_name, **recipe.optimizer.settings},
            "batch_size": settings.batch_size,
            "deterministic": settings.deterministic,
        }


def device_of(recipe: Recipe) -> str:
    """The kind of device that trains the recipe."""
    return GPU if recipe.settings.resources.gpus_per_trial else CPU
