"""The protocol of a source of images: names, classes, content hashes, and one image at a time."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FORMAT = 1
"""Of the fingerprint."""

Progress = Callable[[int, int], None]
"""A function of how many are done, and of how many in all."""


class ImageSource(Protocol):
    """All images of a data set, in a fixed order, before limit and split.

    `names` are unique and do not depend on the folder of the data; `labels` int64 [N] index into `classes`.
    """

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def names(self) -> Sequence[str]: ...
    @property
    def labels(self) -> NDArray[np.int64]: ...
    @property
    def channels(self) -> int: ...

    def digests(self, indices: Sequence[int], progress: Progress | None = None) -> list[str]:
        """For each of the `indices`, the sha256 (hex) of content that decides that image. Raises InputError.

        Files in an object store are fetched to this node for it; `progress` counts them.
        """
        ...

    def image(self, index: int, digest: str, size: int) -> NDArray[np.uint8]:
        """One image, uint8 [size, size, channels]. Raises any error of the decoder when it is broken."""
        ...

    def place(self, index: int) -> str:
        """The path or number by which a person finds that image."""
        ...


def fingerprint(names: Sequence[str], classes: Sequence[str], digests: Sequence[str]) -> str:
    """Sha256 (hex) over the name, class and content hash of each image, in order."""
    digest = hashlib.sha256(f"images {FORMAT}\n".encode())
    for name, label, content_hash in zip(names, classes, digests, strict=True):
        digest.update(f"{name}\0{label}\0{content_hash}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def few(names: Sequence[str], most: int = 3) -> str:
    """The first names of a list, and the number of the others.

    >>> few(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
