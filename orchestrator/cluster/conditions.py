"""The conditions that trials are trained under: equal where two processes compute the same numbers."""

import hashlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from experiments import numerics, user_modules
from experiments.environment import backend
from experiments.equivalence import CPU
from experiments.numerics import ANY, NO_GPU
from experiments.settings import InputError
from orchestrator.spec.sweep import DEFAULT_TRAINER
from orchestrator.storage.filesystem import StoreError


@dataclass(frozen=True)
class Conditions:
    """What decides numbers where a trial is trained, beside its settings and the versions of the libraries.

    `trainer` is "built-in", or a class with the hash of its source; `backend` is Keras's; `hardware` a line of
    `numerics.hardware`, or "any"; `environment` the variables that are not at their default.
    """

    trainer: str
    backend: str
    hardware: str
    environment: Mapping[str, str]

    def unlike(self, theirs: "Conditions") -> list[str]:
        """What is other here than `theirs`, in words; a GPU that is not told is other than every one."""
        return [
            f"{name} {own or 'at its default'}, not {other or 'at its default'}"
            for name, (own, other) in self._beside(theirs).items()
            if own != other or own.startswith(NO_GPU)
        ]

    def _beside(self, theirs: "Conditions") -> dict[str, tuple[str, str]]:
        variables = sorted({*self.environment, *theirs.environment})
        return {
            "trainer": (self.trainer, theirs.trainer),
            "KERAS_BACKEND": (self.backend, theirs.backend),
            "hardware": (self.hardware, theirs.hardware),
            **{name: (self.environment.get(name, ""), theirs.environment.get(name, "")) for name in variables},
        }


def conditions(trainer: str, gpu: bool, hardware: str | None = None) -> Conditions:
    """Those of this process for trials of `trainer` on a GPU or on the processor.

    `hardware` stands for a line that is not this machine's own. Raises InputError for a trainer without a source.
    """
    name, line = backend(), hardware or numerics.hardware(gpu)
    return Conditions(_identity(trainer), name, line, numerics.environment(os.environ, name, line, gpu))


def _identity(trainer: str) -> str:
    return "built-in" if trainer == DEFAULT_TRAINER else f"{trainer.rpartition(':')[2]} {source_hash(trainer)}"


def source_hash(trainer: str) -> str:
    """The sha256 (hex) of the file that the module of `trainer`, module:Class, lies in; it is not imported.

    Raises InputError where there is no such file.
    """
    spec = user_modules.find("trainer", trainer.partition(":")[0])
    try:
        if not spec.has_location or spec.origin is None:
            raise ImportError(f"no file of a module named {spec.name!r}")
        return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()
    except (ImportError, OSError) as error:
        raise InputError(f"trainer: {trainer!r} cannot be imported: {error}") from error


def require_conditions(expected: Conditions, trainer: str, gpu: bool) -> None:
    """Raise StoreError where this process would train `trainer` under other conditions than the keys say."""
    own = _own_conditions(trainer, gpu, ANY if expected.hardware == ANY else None)
    others = own.unlike(expected)
    if others:
        mend = "make it alike or take it out of the cluster"
        if own.hardware.startswith(NO_GPU):
            mend += ", or set resources.hardware to 'any' where the last bits do not matter"
        elif own.hardware != expected.hardware:
            mend += f", or set resources.hardware to {own.hardware!r} or, where last bits do not matter, to 'any'"
        raise StoreError(
            f"{socket.gethostname()} computes other numbers than the run's keys stand for: {'; '.join(others)}; "
            f"{mend}, and run the same command again"
        )


@cache
def _own_conditions(trainer: str, gpu: bool, hardware: str | None) -> Conditions:
    """Those of this process before a backend was started in it, which sets variables of its own."""
    return conditions(trainer, gpu, hardware)


def require_device(trainer: str, device: str, gpu: bool) -> None:
    """Raise StoreError where the built-in `trainer` uses a GPU and its key names none, or the reverse."""
    if trainer == DEFAULT_TRAINER and (device == CPU) == gpu:
        asked, mend = ("a GPU", "see why Keras finds none there") if gpu else ("the processor", "hide its GPUs")
        raise StoreError(
            f"{socket.gethostname()}: the trial is to be trained on {asked}, and Keras uses {device}; {mend}, or "
            "take it out of the cluster, and run the same command again"
        )
