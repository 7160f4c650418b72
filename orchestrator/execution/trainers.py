"""The trainer of a worker process: the class that a sweep names, kept warm from trial to trial."""

import functools
import inspect
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from experiments import user_modules
from experiments.environment import cache_folder
from experiments.settings import InputError
from orchestrator.cluster import node_inventory
from orchestrator.spec.trials import Recipe
from orchestrator.storage.filesystem import StoreError


class Trainer(Protocol):
    """The interface of `experiments.trainer:Trainer`, and of the class in a sweep's `trainer: module:Class`."""

    device: str

    def reset(self, job: Any) -> None:
        """Start over with fresh weights for `job`, an `experiments.trainer.Job`."""

    def epoch(
        self, n: int, learning_rates: npt.NDArray[np.float32], **momentum: npt.NDArray[np.float32]
    ) -> Mapping[str, float]:
        """Train epoch `n` with these rates, float32 [steps]; loss, accuracy, val_loss, val_accuracy, images.

        Where the data has a test set, also test_loss and test_accuracy.

        `momentum`, of the same form, is passed where the schedule cycles it. A trainer without this parameter
        cannot train such schedules.
        """

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Everything that decides what the next epoch computes."""

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from `state`."""

    def save(self, path: Path) -> None:
        """Write the model as a .keras file."""


def trainer_class(name: str) -> Any:
    """The class that `module:Class` names. Raises InputError."""
    module, _, attribute = name.partition(":")
    value = getattr(user_modules.load("trainer", module), attribute, None)
    if not isinstance(value, type):
        raise InputError(f"trainer: expected module:Class, got {name!r}, and {module} has no such class")
    return value


def require_momentum(name: str, trainer: Any, label: str) -> None:
    """Raise InputError where `trainer`, the class of that `name`, takes no momentum at each step."""
    parameters = inspect.signature(trainer.epoch).parameters.values()
    if not any(p.name == "momentum" or p.kind is p.VAR_KEYWORD for p in parameters):
        raise InputError(
            f"trainer: {name} trains epochs without a momentum, which the schedule of {label} cycles; let its "
            "epoch take `momentum` or take `momentum` out of the schedule"
        )


def require_same(software: Mapping[str, str | None]) -> None:
    """Raise StoreError where this process has other versions than the driver's `software`.

    The doctor checks the nodes at the start of a run. This node may have joined later, and the trials' keys hold
    the driver's versions.
    """
    local = node_inventory.software()
    differences = [
        f"{name} {local.get(name)}, not {version}"
        for name, version in software.items()
        if local.get(name) != version
    ]
    if differences:
        listed = "; ".join(differences)
        raise StoreError(
            f"{socket.gethostname()} differs from the machine that the run was started on: {listed}; "
            "`make install` there, or take it out of the cluster, and run the same command again"
        )


@functools.cache
def warm_trainer(trainer: str, threads: int) -> Any:
    """The trainer of this process, with this node's cache; the next trial or range test gets the same one."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    return trainer_class(trainer)(threads=threads, cache=cache_folder())


def job_of(recipe: Recipe, seed: int, fingerprint: str | None) -> Any:
    """The recipe and `seed` as the trainer's job: an experiments.trainer.Job."""
    from experiments.training.trainer import Job

    settings = recipe.settings
    return Job(
        data=settings.data,
        model=settings.model,
        optimizer=recipe.optimizer,
        batch_size=settings.batch_size,
        seed=seed,
        precision=settings.precision,
        deterministic=settings.deterministic,
        fingerprint=fingerprint,
    )
