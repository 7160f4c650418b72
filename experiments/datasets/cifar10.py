"""CIFAR-10, binary version (Krizhevsky 2009): 50,000 training images, 32 x 32 RGB, ten classes.

Only the five training batches are read. The split takes its validation images from them, and nothing reads the
test batch. A record is 3,073 bytes: the label, then the red, green and blue planes row by row.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.datasets.content_hashes import content_hashes
from experiments.datasets.image_decoding import resized
from experiments.datasets.location import Location, locate
from experiments.datasets.source import Progress
from experiments.settings import InputError

FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
SIDE = 32
RECORD = 1 + 3 * SIDE * SIDE
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PATH_HINT = (
    "Nothing is downloaded by itself: get the binary version (cifar-10-binary.tar.gz) from "
    "https://www.cs.toronto.edu/~kriz/cifar.html, unpack it, and set data.path to its folder "
    "cifar-10-batches-bin"
)


@dataclass(frozen=True, eq=False)
class Cifar:
    """The training batches as an ImageSource; `batches` are memory-mapped, uint8 [records, 3073] each."""

    root: Location
    cache: Path
    batches: tuple[NDArray[np.uint8], ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] = CLASSES
    channels: int = 3

    @property
    def names(self) -> list[str]:
        """File and record number of each image."""
        return [
            f"{file}/{record:05d}"
            for file, batch in zip(FILES, self.batches, strict=True)
            for record in range(len(batch))
        ]

    def digests(self, indices: Sequence[int], progress: Progress | None = None) -> list[str]:
        """For each of the `indices`, the sha256 (hex) of its batch file. Raises InputError."""
        files = content_hashes(self.root.folder, FILES, self.cache)
        return [files[self._batch_and_record(index)[0]] for index in indices]

    def image(self, index: int, digest: str, size: int) -> NDArray[np.uint8]:
        """One image, uint8 [size, size, 3]."""
        batch, record = self._batch_and_record(index)
        planes = self.batches[batch][record, 1:].reshape(3, SIDE, SIDE)
        return resized(np.ascontiguousarray(planes.transpose(1, 2, 0)), size)

    def place(self, index: int) -> str:
        """The batch file and the record in it."""
        batch, record = self._batch_and_record(index)
        return f"{self.root}/{FILES[batch]} (record {record})"

    def _batch_and_record(self, index: int) -> tuple[int, int]:
        ends = list(accumulate(len(batch) for batch in self.batches))
        batch = bisect_right(ends, index)
        return batch, index - (ends[batch - 1] if batch else 0)


def survey(path: str | None, cache: Path) -> Cifar:
    """Every training image under `path`. Raises InputError for a missing, truncated or foreign file."""
    root = locate(path or "", cache)
    files, folders = root.entries()
    missing = [file for file in FILES if file not in files]
    if missing:
        unpacked = "cifar-10-batches-bin"
        hint = f"did you mean data.path={root / unpacked}?" if unpacked in folders else PATH_HINT
        raise InputError(f"data.path: {root} lacks {', '.join(missing)} of CIFAR-10's binary version; {hint}")
    root.fetch(FILES)  # they hold the labels too
    batches = tuple(_records(root.folder / file) for file in FILES)
    return Cifar(root, cache, batches, np.concatenate([batch[:, 0] for batch in batches]).astype(np.int64))


def _records(file: Path) -> NDArray[np.uint8]:
    size = file.stat().st_size
    if size == 0 or size % RECORD:
        raise InputError(
            f"data.path: {file} is truncated or of another format: expected a multiple of {RECORD} bytes, "
            f"got {size}; unpack cifar-10-binary.tar.gz again"
        )
    records = np.memmap(file, np.uint8, mode="r").reshape(-1, RECORD)
    invalid = np.flatnonzero(records[:, 0] >= len(CLASSES))
    if len(invalid):
        record = int(invalid[0])
        raise InputError(
            f"data.path: {file} is damaged: record {record} has label {records[record, 0]}, expected 0 to 9; "
            "unpack cifar-10-binary.tar.gz again"
        )
    return records
