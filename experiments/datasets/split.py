"""Which images are used, and which of them are held out: stratified, seeded, and steady.

Inside its class each image has a place that depends on the seed and its own name only. So a larger `limit`
adds to a smaller one, and a new photo moves few others between training and validation.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from experiments.datasets.source import few
from experiments.settings import InputError

Indices = NDArray[np.int64]


def require(classes: Sequence[str], labels: Indices, limit: int | None) -> None:
    """Raises InputError when a class or `limit` is too small for one image a class on either side."""
    counts = np.bincount(labels, minlength=len(classes))
    small = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < 2]
    if small:
        raise InputError(
            f"data.path: the split needs at least 2 images of every class, fewer in: {few(small)}. "
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
    """Indices (int64, ascending) for training and for validation: round(`validation` x N) images, but at
    least one of every class on either side; every class within one image of its share where that allows.

    >>> train, held = split(["a.0", "a.1", "a.2", "a.3", "b.0", "b.1"], np.array([0, 0, 0, 0, 1, 1]), 0.5, 0)
    >>> len(train), len(held)
    (3, 3)
    """
    sizes = np.bincount(labels)
    total = min(max(round(validation * len(names)), len(sizes)), len(names) - len(sizes))
    held = _first(names, labels, apportion(total, sizes, 1, 1), seed, "split")
    return np.setdiff1d(np.arange(len(names), dtype=np.int64), held), held


def apportion(total: int, sizes: Indices, least: int, left: int) -> Indices:
    """`total` divided over classes of `sizes` by largest remainder, each getting at least `least` and leaving
    `left`.

    >>> apportion(10, np.array([50, 30, 21]), 2, 0).tolist()
    [5, 3, 2]
    """
    exact = total * sizes / sizes.sum()
    most = sizes - left
    counts: Indices = np.clip(np.floor(exact).astype(np.int64), least, most)
    while counts.sum() < total:
        counts[np.argmax(np.where(counts < most, exact - counts, -np.inf))] += 1
    while counts.sum() > total:
        counts[np.argmin(np.where(counts > least, exact - counts, np.inf))] -= 1
    return counts


def _first(names: Sequence[str], labels: Indices, counts: Indices, seed: int, purpose: str) -> Indices:
    """The first counts[c] images of every class c, in the order drawn for `seed` and `purpose`; ascending."""
    drawn = np.array(sorted(range(len(names)), key=lambda index: _draw(names[index], seed, purpose)), np.int64)
    kinds = labels[drawn]
    return np.sort(np.concatenate([drawn[kinds == kind][:count] for kind, count in enumerate(counts)]))


def _draw(name: str, seed: int, purpose: str) -> bytes:
    return hashlib.sha256(f"{purpose} {seed} {name}".encode(errors="surrogateescape")).digest()
