"""The conditions that trials are trained under: equal where two processes compute the same numbers."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from experiments import numerics, user_modules
from experiments.environment import backend
from experiments.equivalence import CPU
from experiments.files import sha256
from experiments.numerics import ANY, NO_GPU
from experiments.settings import InputError
from orchestrator.spec.sweep import DEFAULT_TRAINER
from orchestrator.storage.filesystem import StoreError


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What decides a trial's numbers besides its settings and the versions of the libraries.

    `trainer` is "built-in", or a class with the hash of its source; `backend` is Keras's; `hardware` is a line of
    `numerics.hardware`, or "any"; `environment` has the variables that are not at their default.
    """

    trainer: str
    backend: str
    hardware: str
    environment: Mapping[str, str]

    def differences(self, expected: "Conditions") -> list[str]:
        """The differences from `expected`, in words; an unknown GPU differs from every one."""
        return [
            f"{name} {value or 'at its default'}, not {expected_value or 'at its default'}"
            for name, (value, expected_value) in self._pairs(expected).items()
            if value != expected_value or value.startswith(NO_GPU)
        ]

    def _pairs(self, expected: "Conditions") -> dict[str, tuple[str, str]]:
        variables = sorted({*self.environment, *expected.environment})
        return {
            "trainer": (self.trainer, expected.trainer),
            "KERAS_BACKEND": (self.backend, expected.backend),
            "hardware": (self.hardware, expected.hardware),
            **{name: (self.environment.get(name, ""), expected.environment.get(name, "")) for name in variables},
        }


def conditions(trainer: str, gpu: bool, hardware: str | None = None) -> Conditions:
    """The conditions in this process for trials of `trainer`, with `gpu` on a GPU, else on the processor.

    `hardware` replaces this machine's line. Raises InputError for a trainer without a source.
    """
    backend_name, line = backend(), hardware or numerics.hardware(gpu)
    variables = numerics.environment(os.environ, backend_name, line, gpu)
    return Conditions(trainer=_identity(trainer), backend=backend_name, hardware=line, environment=variables)


def _identity(trainer: str) -> str:
    return "built-in" if trainer == DEFAULT_TRAINER else f"{trainer.rpartition(':')[2]} {source_hash(trainer)}"


def source_hash(trainer: str) -> str:
    """The sha256 (hex) of the source file of `trainer`, module:Class, which is not imported.

    Raises InputError where there is no such file.
    """
    spec = user_modules.find("trainer", trainer.partition(":")[0])
    try:
        if not spec.has_location or spec.origin is None:
            raise ImportError(f"no file of a module named {spec.name!r}")
        return sha256(Path(spec.origin).read_bytes())
    except (ImportError, OSError) as error:
        raise InputError(f"trainer: {trainer!r} cannot be imported: {error}") from error


def require_conditions(expected: Conditions, trainer: str, gpu: bool) -> None:
    """Raise StoreError where this process would train `trainer` under conditions other than the `expected`."""
    actual = _conditions_at_start(trainer, gpu, ANY if expected.hardware == ANY else None)
    differences = actual.differences(expected)
    if differences:
        fix = "make it alike or take it out of the cluster"
        if actual.hardware.startswith(NO_GPU):
            fix += ", or set resources.hardware to 'any' where the last bits do not matter"
        elif actual.hardware != expected.hardware:
            fix += (
                f", or set resources.hardware to {actual.hardware!r} or, where last bits do not matter, to 'any'"
            )
        raise StoreError(
            f"{socket.gethostname()} computes other numbers than the run's keys stand for: "
            f"{'; '.join(differences)}; {fix}, and run the same command again"
        )


@cache
def _conditions_at_start(trainer: str, gpu: bool, hardware: str | None) -> Conditions:
    """The conditions in this process before a backend starts in it, which sets further variables."""
    return conditions(trainer, gpu, hardware)


def require_device(trainer: str, device: str, gpu: bool) -> None:
    """Raise StoreError where the built-in `trainer` uses another `device` than its trial's key names."""
    if trainer == DEFAULT_TRAINER and (device == CPU) == gpu:
        expected, fix = ("a GPU", "see why Keras finds none there") if gpu else ("the processor", "hide its GPUs")
        raise StoreError(
            f"{socket.gethostname()}: the trial is to be trained on {expected}, and Keras uses {device}; {fix}, "
            "or take it out of the cluster, and run the same command again"
        )
