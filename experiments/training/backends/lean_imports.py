"""Importing a library without the optional packages that it would pull in."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

KERAS_EXTRAS = ("sklearn", "matplotlib", "pandas")
"""What Keras imports, where it is installed, for wrappers and pictures that no training here uses."""
JAX_EXTRAS = ("zstandard",)
"""With it jax compresses its compile cache in a format without a checksum; zlib's has one."""


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """Within, `packages` are as if they were not installed, but for those that are imported already.

    Afterwards they can be imported as ever. What was imported within goes on without them: give only packages
    that are optional to it.
    """
    absent = [package for package in packages if package not in sys.modules]
    # Python's own mark of a module that cannot be imported.
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for package in absent:
            del sys.modules[package]
