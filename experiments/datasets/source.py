"""What every source of images gives: names, classes, content hashes, and one image at a time."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FORMAT = 1  # of the fingerprint

Progress = Callable[[int, int], None]
"""Told how many are done, of how many."""


class ImageSource(Protocol):
    """All images of a data set, in a fixed order, before limit and split.

    `names` are unique and do not depend on where the data lies; `labels` int64 [N] index into `classes`.
    """

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def names(self) -> Sequence[str]: ...
    @property
    def labels(self) -> NDArray[np.int64]: ...
    @property
    def channels(self) -> int: ...

    def digests(self, used: Sequence[int], progress: Progress | None = None) -> list[str]:
        """For each index in `used`, the sha256 (hex) of content that decides that image. Raises
        InputError.

        What lies elsewhere is fetched to this node for it; `progress` counts the files then.
        """
        ...

    def image(self, index: int, digest: str, size: int) -> NDArray[np.uint8]:
        """One image, uint8 [size, size, channels]. Raises whatever its decoder raises when it is broken."""
        ...

    def place(self, index: int) -> str:
        """Where a person finds that image."""
        ...


def fingerprint(names: Sequence[str], classes: Sequence[str], digests: Sequence[str]) -> str:
    """Sha256 (hex) over name, class and content hash of each image used, in the order in which they are
    used.
    """
    sha = hashlib.sha256(f"images {FORMAT}\n".encode())
    for name, label, digest in zip(names, classes, digests, strict=True):
        sha.update(f"{name}\0{label}\0{digest}\n".encode(errors="surrogateescape"))
    return sha.hexdigest()


def few(names: Sequence[str], shown: int = 3) -> str:
    """The first names of a list and how many there are beyond them.

    >>> few(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
