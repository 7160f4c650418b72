"""What decides a trial's numbers: the facts its root key is made of, and where this machine keeps data.

The names in the facts are part of every key; they say what a value is, not where the code has it.
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
"""Gives a progress callback for what is being counted."""


def silently(what: str) -> AbstractContextManager[datasets.Progress]:
    """Counting that nobody sees."""
    return nullcontext(lambda done, total: None)


class RootFacts:
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
            "format": epoch_chain.FORMAT,
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
            "part_size": divided.microbatch,
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
