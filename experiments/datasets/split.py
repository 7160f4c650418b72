"""The selection of images, and their split into training and validation: stratified, seeded, and stable.

The rank of an image in its class depends only on the seed and its name. So a larger `limit` adds images to a
smaller one, and a new photo moves few others between training and validation.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from experiments.datasets.source import few
from experiments.settings import InputError

Indices = NDArray[np.int64]


def require(classes: Sequence[str], labels: Indices, limit: int | None) -> None:
    """Raise InputError when a class or `limit` is too small for one image of every class on either side."""
    counts = np.bincount(labels, minlength=len(classes))
    too_small = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < 2]
    if too_small:
        raise InputError(
            f"data.path: the split needs at least 2 images of every class, fewer in: {few(too_small)}. "
            "Add images or take these away; a class is a folder, or what stands before the first dot of a "
            "file's name"
        )
    if limit is not None and limit < 2 * len(classes):
        raise InputError(
            f"data.limit: expected at least {2 * len(classes)} images, one of each of the {len(classes)} "
            f"classes for training and one for validation, got {limit}"
        )


def subset(names: Sequence[str], labels: Indices, limit: int | None, seed: int) -> Indices:
    """Indices (int64, ascending) of at most `limit` images; each class keeps its share, at least 2 images."""
    if limit is None or limit >= len(names):
        return np.arange(len(names), dtype=np.int64)
    return _first(names, labels, apportion(limit, np.bincount(labels), 2, 0), seed, "limit")


def split(names: Sequence[str], labels: Indices, validation: float, seed: int) -> tuple[Indices, Indices]:
    """Indices (int64, ascending) for training and for validation, which gets round(`validation` x N) images.

    Either side has at least one image of every class, and within that every class its share to one image.

    >>> train, held = split(["a.0", "a.1", "a.2", "a.3", "b.0", "b.1"], np.array([0, 0, 0, 0, 1, 1]), 0.5, 0)
    >>> len(train), len(held)
    (3, 3)
    """
    sizes = np.bincount(labels)
    total = min(max(round(validation * len(names)), len(sizes)), len(names) - len(sizes))
    held = _first(names, labels, apportion(total, sizes, 1, 1), seed, "split")
    return np.setdiff1d(np.arange(len(names), dtype=np.int64), held), held


def apportion(total: int, sizes: Indices, minimum: int, remaining: int) -> Indices:
    """`total` divided over classes of `sizes` by largest remainder.

    Each class gets at least `minimum`, and `remaining` of it stay out.

    >>> apportion(10, np.array([50, 30, 21]), 2, 0).tolist()
    [5, 3, 2]
    """
    exact = total * sizes / sizes.sum()
    maxima = sizes - remaining
    counts: Indices = np.clip(np.floor(exact).astype(np.int64), minimum, maxima)
    while counts.sum() < total:
        counts[np.argmax(np.where(counts < maxima, exact - counts, -np.inf))] += 1
    while counts.sum() > total:
        counts[np.argmin(np.where(counts > minimum, exact - counts, np.inf))] -= 1
    return counts


def _first(names: Sequence[str], labels: Indices, counts: Indices, seed: int, purpose: str) -> Indices:
    """The first counts[c] images of every class c in the random order of `seed` and `purpose`; ascending."""
    order = np.array(sorted(range(len(names)), key=lambda index: _draw(names[index], seed, purpose)), np.int64)
    classes = labels[order]
    return np.sort(np.concatenate([order[classes == label][:count] for label, count in enumerate(counts)]))


def _draw(name: str, seed: int, purpose: str) -> bytes:
    return hashlib.sha256(f"{purpose} {seed} {name}".encode(errors="surrogateescape")).digest()
