"""From settings to images: what there is (`describe`), and the pixels (`load`)."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.datasets.decoded_cache import decoded_once
from experiments.datasets.registry import SOURCES
from experiments.datasets.settings import Data
from experiments.datasets.source import ImageSource, Progress, fingerprint
from experiments.datasets.split import require, split, subset
from experiments.environment import available_cpus

FORMAT = 1  # of the decoded file: raise it when the same data would give other pixels

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Description:
    """A data set before it is decoded.

    `train` and `validation` count images, `shape` is one image's (height, width, channels). `fingerprint` is
    a sha256 (hex) over the names, classes and contents of the images used; not over their place, times or
    decoded size.
    """

    classes: tuple[str, ...]
    train: int
    validation: int
    shape: tuple[int, int, int]
    fingerprint: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """A decoded data set.

    `images` uint8 [N, H, W, C], memory-mapped read-only; `labels` int64 [N], indices into
    `description.classes`; `train` and `validation` int64 indices into both, disjoint and together complete.
    """

    images: NDArray[np.uint8]
    labels: Indices
    train: Indices
    validation: Indices
    description: Description


@dataclass(frozen=True, eq=False)
class _Selection:
    """The images used: their indices in the catalogue, content hashes and labels, and the split over them."""

    catalogue: ImageSource
    used: list[int]
    digests: list[str]
    labels: Indices
    train: Indices
    validation: Indices
    description: Description


def describe(data: Data, cache: Path, progress: Progress | None = None) -> Description:
    """What `data` holds and how it is divided.

    Files are read only to hash them, and only where they changed since the last time; the hashes are kept in
    `cache`, and so are files of an object store: `progress(done, total)` counts those that are fetched. Raises
    InputError for every fault that can be seen without decoding, Unreached where an object store does not
    answer.
    """
    return _select(data, cache, progress).description


def load(data: Data, cache: Path, progress: Progress | None = None, *, threads: int | None = None) -> Dataset:
    """The images of `data`, decoded into `cache` once per node, by `threads` threads (all cores by default).

    `progress(done, total)` counts images; it is not called when they are decoded already. Raises InputError
    for everything that `describe` raises it for, for images that cannot be decoded, and for a disk that is
    too full.
    """
    chosen = _select(data, cache)
    description = chosen.description
    side = description.shape[0]

    def image(position: int) -> NDArray[np.uint8]:
        return chosen.catalogue.image(chosen.used[position], chosen.digests[position], side)

    images = decoded_once(
        cache / f"{data.name}-{side}px-{_key(description.fingerprint)}.npy",
        (len(chosen.used), *description.shape),
        image,
        lambda position: chosen.catalogue.place(chosen.used[position]),
        threads=threads or available_cpus(),
        progress=progress,
    )
    return Dataset(images, chosen.labels, chosen.train, chosen.validation, description)


def _select(data: Data, cache: Path, fetching: Progress | None = None) -> _Selection:
    catalogue = SOURCES[data.name].survey(data.path, cache)
    require(catalogue.classes, catalogue.labels, data.limit)
    everything = catalogue.names
    chosen = subset(everything, catalogue.labels, data.limit, data.split_seed)
    used = chosen.tolist()
    names, labels = [everything[index] for index in used], catalogue.labels[chosen]
    digests = catalogue.digests(used, fetching)
    train, validation = split(names, labels, data.validation, data.split_seed)
    description = Description(
        catalogue.classes,
        len(train),
        len(validation),
        (data.image_size, data.image_size, catalogue.channels),
        fingerprint(names, [catalogue.classes[label] for label in labels], digests),
    )
    return _Selection(catalogue, used, digests, labels, train, validation, description)


def _key(content: str) -> str:
    from PIL import __version__

    # Another Pillow may decode to other pixels, and a trial's key names the libraries of its own day.
    return hashlib.sha256(f"{FORMAT} {__version__} {content}".encode()).hexdigest()[:24]
