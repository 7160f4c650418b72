"""The selection of images, and their split into training, validation and test: stratified, seeded, and stable.

The rank of an image in its class depends only on the seed and its name. So a larger `limit` adds images to a
smaller one, and a new photo moves few others between the sets. The test images are taken first, so another share
of validation leaves them as they are.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.datasets.source import few
from experiments.settings import InputError

Indices = NDArray[np.int64]


class Split(NamedTuple):
    """The indices of the images of each set: int64, ascending. Each image is in one of them."""

    train: Indices
    validation: Indices
    test: Indices


def sets(test: float) -> int:
    """How many sets the images are divided into: three with a share for the `test`, else two."""
    return 3 if test else 2


def require(classes: Sequence[str], labels: Indices, limit: int | None, test: float = 0.0) -> None:
    """Raise InputError when a class or `limit` is too small for one image of every class in each set."""
    least = sets(test)
    counts = np.bincount(labels, minlength=len(classes))
    too_small = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < least]
    if too_small:
        with_test = " with a test set" if test else ""
        raise InputError(
            f"data.path: the split{with_test} needs at least {least} images of every class, fewer in: "
            f"{few(too_small)}. Add images or take these away; a class is a folder, or what stands before the "
            "first dot of a file's name"
        )
    if limit is not None and limit < least * len(classes):
        others = "one for validation and one for the test" if test else "and one for validation"
        raise InputError(
            f"data.limit: expected at least {least * len(classes)} images, one of each of the {len(classes)} "
            f"classes for training{', ' if test else ' '}{others}, got {limit}"
        )


def subset(names: Sequence[str], labels: Indices, limit: int | None, seed: int, minimum: int = 2) -> Indices:
    """Indices (int64, ascending) of at most `limit` images; each class keeps its share, at least `minimum`."""
    if limit is None or limit >= len(names):
        return np.arange(len(names), dtype=np.int64)
    return _first(names, labels, apportion(limit, np.bincount(labels), minimum, 0), seed, "limit")


def split(names: Sequence[str], labels: Indices, validation: float, seed: int, test: float = 0.0) -> Split:
    """The sets of images; validation gets round(`validation` x N) of all N, the test round(`test` x N).

    Every set has at least one image of every class. Within that, validation and test have of every class their
    share of it to one image. A `test` of 0 is an empty set.

    >>> labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    >>> [len(part) for part in split(list("abcdefgh"), labels, 0.25, 0, test=0.25)]
    [4, 2, 2]
    """
    sizes = np.bincount(labels)
    everything = np.arange(len(names), dtype=np.int64)
    tested, tests = everything[:0], np.zeros_like(sizes)
    if test:
        tests = apportion(_total(test, sizes, 2 * len(sizes)), sizes, 1, 2)
        tested = _first(names, labels, tests, seed, "test")
    others = np.setdiff1d(everything, tested)
    held = apportion(_total(validation, sizes, len(sizes) + len(tested)), sizes, 1, tests + 1)
    validated = others[_first([names[i] for i in others.tolist()], labels[others], held, seed, "split")]
    return Split(np.setdiff1d(others, validated), validated, tested)


def _total(share: float, sizes: Indices, remaining: int) -> int:
    """`share` of all images, at least one of every class, so that `remaining` are left."""
    images = int(sizes.sum())
    return min(max(round(share * images), len(sizes)), images - remaining)


def apportion(total: int, sizes: Indices, minimum: int, remaining: int | Indices) -> Indices:
    """`total` divided over classes of `sizes` by largest remainder.

    Each class gets at least `minimum`, and `remaining` of it stay out: a number, or one for each class.

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
