"""What this process computes with: Keras's backend, the libraries, the processor's cores, the cache folder."""

import os
from functools import cache
from importlib import metadata
from pathlib import Path

from experiments.settings import InputError, unknown

BACKENDS = ("tensorflow", "jax")
CACHE_VARIABLE = "SWEEP_CACHE"
_BACKEND_LIBRARIES = {"tensorflow": ("tensorflow",), "jax": ("jax", "jaxlib")}


def backend() -> str:
    """The Keras backend that trials are trained with. Raises InputError where KERAS_BACKEND names none of them."""
    name = os.environ.get("KERAS_BACKEND", BACKENDS[0])
    if name not in BACKENDS:
        raise unknown("KERAS_BACKEND", "backend", name, BACKENDS)
    return name


def libraries(backend_name: str) -> tuple[str, ...]:
    """The libraries whose arithmetic decides the numbers."""
    return ("keras", "numpy", "pillow", *_BACKEND_LIBRARIES[backend_name])


@cache
def library_versions(backend_name: str) -> dict[str, str]:
    """The versions of the installed libraries whose arithmetic decides the numbers. Raises InputError."""
    try:
        return {name: metadata.version(name) for name in libraries(backend_name)}
    except metadata.PackageNotFoundError as error:
        raise InputError(
            f"KERAS_BACKEND: {backend_name} needs {error.name}, which is not installed; install it or choose "
            f"another of {BACKENDS}"
        ) from None


def available_cpus() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_folder() -> Path:
    """The folder where this node keeps decoded data: $SWEEP_CACHE, or the user's cache folder.

    Raises InputError where a file has that name, and where the user has no home.
    """
    try:
        user_cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        chosen = os.environ.get(CACHE_VARIABLE)
        folder = Path(chosen).expanduser() if chosen else Path(user_cache) / "sweep-orchestrator"
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{CACHE_VARIABLE}: expected a folder for decoded images, got the file {folder}")
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{CACHE_VARIABLE}: no folder for decoded images: {reason}; set it to one") from None
    return folder
