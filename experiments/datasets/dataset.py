"""From settings to images: their description (`describe`), and their pixels (`load`)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.datasets.decoded_cache import decoded_once
from experiments.datasets.registry import SOURCES
from experiments.datasets.settings import Data
from experiments.datasets.source import ImageSource, Progress, fingerprint
from experiments.datasets.split import Split, require, sets, split, subset
from experiments.environment import available_cpus
from experiments.files import sha256

FORMAT = 1
"""Of the decoded file: a number to raise when the same data would give other pixels."""

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Description:
    """A data set before it is decoded.

    `train`, `validation` and `test` count images, `shape` is one image's (height, width, channels). `fingerprint`
    is a sha256 (hex) over the names, classes and contents of the selected images, but not over their folder, times
    or decoded size. `majority` is the share of the most frequent class among the validation images: the accuracy
    of a model that always answers with it.
    """

    classes: tuple[str, ...]
    train: int
    validation: int
    shape: tuple[int, int, int]
    fingerprint: str
    test: int
    majority: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """A decoded data set.

    `images` uint8 [N, H, W, C], memory-mapped read-only; `labels` int64 [N], indices into
    `description.classes`; `train`, `validation` and `test` int64 indices into both: each index is in one of them.
    `test` is empty without a test set.
    """

    images: NDArray[np.uint8]
    labels: Indices
    train: Indices
    validation: Indices
    test: Indices
    description: Description


@dataclass(frozen=True, eq=False, kw_only=True)
class _Selection:
    """The selected images: their `indices` in the source, content hashes and labels, and the split over them."""

    source: ImageSource
    indices: list[int]
    digests: list[str]
    labels: Indices
    split: Split
    description: Description


def describe(data: Data, cache: Path, progress: Progress | None = None) -> Description:
    """The images of `data`, and their split, without decoding.

    Files are only hashed, and only those that changed since the last call: `cache` keeps the hashes. It also keeps
    files of an object store; `progress(done, total)` counts those that are fetched. Raises InputError for every
    error that shows without decoding, Unreached where an object store does not answer.
    """
    return _select(data, cache, progress).description


def load(data: Data, cache: Path, progress: Progress | None = None, *, threads: int | None = None) -> Dataset:
    """The images of `data`, decoded into `cache` once on each node, by `threads` threads (all cores by default).

    `progress(done, total)` counts images while they are decoded. Raises InputError as `describe` does, for images
    that cannot be decoded, and for a full disk.
    """
    selection = _select(data, cache)
    source, indices, description = selection.source, selection.indices, selection.description
    side = description.shape[0]

    def image(position: int) -> NDArray[np.uint8]:
        return source.image(indices[position], selection.digests[position], side)

    images = decoded_once(
        cache / f"{data.name}-{side}px-{_key(description.fingerprint)}.npy",
        (len(indices), *description.shape),
        image,
        lambda position: source.place(indices[position]),
        threads=threads or available_cpus(),
        progress=progress,
    )
    return Dataset(
        images=images,
        labels=selection.labels,
        train=selection.split.train,
        validation=selection.split.validation,
        test=selection.split.test,
        description=description,
    )


def _select(data: Data, cache: Path, progress: Progress | None = None) -> _Selection:
    source = SOURCES[data.name].survey(data.path, cache)
    require(source.classes, source.labels, data.limit, data.test)
    all_names = source.names
    selected = subset(all_names, source.labels, data.limit, data.split_seed, sets(data.test))
    indices = selected.tolist()
    names, labels = [all_names[index] for index in indices], source.labels[selected]
    digests = source.digests(indices, progress)
    divided = split(names, labels, data.validation, data.split_seed, data.test)
    description = Description(
        classes=source.classes,
        train=len(divided.train),
        validation=len(divided.validation),
        shape=(data.image_size, data.image_size, source.channels),
        fingerprint=fingerprint(names, [source.classes[label] for label in labels], digests),
        test=len(divided.test),
        majority=float(np.bincount(labels[divided.validation]).max() / len(divided.validation)),
    )
    return _Selection(
        source=source, indices=indices, digests=digests, labels=labels, split=divided, description=description
    )


def _key(data_fingerprint: str) -> str:
    from PIL import __version__

    # Another version of Pillow may decode to other pixels; a trial's key holds its version.
    return sha256(f"{FORMAT} {__version__} {data_fingerprint}".encode())[:24]
