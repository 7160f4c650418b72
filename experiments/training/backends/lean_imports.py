"""Importing a library without its optional packages."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

KERAS_EXTRAS = ("sklearn", "matplotlib", "pandas")
"""Packages that Keras imports, if they are installed, for wrappers and plots that no trainer uses."""
JAX_EXTRAS = ("zstandard",)
"""With zstandard jax compresses its compile cache in a format without a checksum; with zlib there is one."""


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """Within the block no import finds `packages`, unless they are imported already.

    Later imports find them. A library imported within the block never uses them, so they must be optional to it.
    """
    absent = [package for package in packages if package not in sys.modules]
    # None in sys.modules is Python's mark of a module that cannot be imported.
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for package in absent:
            del sys.modules[package]
