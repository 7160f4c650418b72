"""How the images of an epoch reach the model: cut into parts, gathered in chunks of many equal parts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

CHUNK_BYTES = 64 * 2**20  # of images, in one call of the compiled loop
WHOLE_BATCH = 256  # images; a larger batch, and a full one, is computed in parts and applied at once
PART_PIXELS = 2**20  # of a part's images together: about 3 GiB of activations at width 1

T = TypeVar("T", bound=np.generic)
Gather = Callable[[NDArray[np.int64]], NDArray[np.uint8]]


@dataclass(frozen=True)
class Division:
    """How a batch is computed: `batch` images a weight step, `part` of them at a time.

    Dropout is drawn and sums are rounded part by part, so both decide the numbers.
    """

    batch: int
    part: int


def largest_part(height: int, width: int) -> int:
    """How many images of `height` x `width` pixels are computed at a time where nobody asked for more.

    >>> [largest_part(side, side) for side in (32, 224)]
    [256, 20]
    """
    return max(1, min(WHOLE_BATCH, PART_PIXELS // (height * width)))


def division(batch_size: int | Literal["full"], images: int, height: int, width: int) -> Division:
    """How `images` of `height` x `width` pixels are trained on with `batch_size`, "full" being all of them.

    No batch is larger than all images. One of up to WHOLE_BATCH that was asked for as a number is computed as it
    is; the parts of every other one are as equal as can be.

    >>> division(64, 1000, 224, 224), division("full", 64, 224, 224)
    (Division(batch=64, part=64), Division(batch=64, part=16))
    """
    batch = images if batch_size == "full" else min(batch_size, images)
    if batch_size != "full" and batch <= WHOLE_BATCH:
        return Division(batch, batch)
    return Division(batch, _part(batch, largest_part(height, width)))


def _part(batch: int, largest: int) -> int:
    return -(-batch // -(-batch // largest))


@dataclass(frozen=True, eq=False)
class Microbatches:
    """An epoch cut into R parts of m images; a batch (one weight step) is one part or several in a row.

    `positions` int64 [R, m] are places in the epoch's order, -1 where a part has fewer images; `step` int64
    [R] is the weight step that a part belongs to.
    """

    positions: NDArray[np.int64]
    step: NDArray[np.int64]

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """The images of each part: int64 [R]."""
        sizes: NDArray[np.int64] = np.sum(self.positions >= 0, axis=1, dtype=np.int64)
        return sizes

    @cached_property
    def counts(self) -> NDArray[np.float32]:
        """The images of the whole batch that each part belongs to: float32 [R]."""
        images = np.bincount(self.step, self.sizes)
        return images[self.step].astype(np.float32)

    @cached_property
    def first(self) -> NDArray[np.bool_]:
        """Whether a part begins its batch: bool [R]."""
        return np.diff(self.step, prepend=-1) > 0

    @cached_property
    def last(self) -> NDArray[np.bool_]:
        """Whether a part ends its batch: bool [R]."""
        return np.diff(self.step, append=self.step[-1] + 1) > 0

    def of_steps(self, steps: range) -> "Microbatches":
        """The parts of the weight steps `steps` alone, a run of them."""
        here = slice(*np.searchsorted(self.step, (steps.start, steps.stop)))
        return Microbatches(self.positions[here], self.step[here])


def cut(images: int, batch: int, largest: int) -> Microbatches:
    """`images` in batches of `batch`, the last one smaller, each in parts of at most `largest` images.

    >>> cut(5, 2, 2).positions.tolist()
    [[0, 1], [2, 3], [4, -1]]
    >>> cut(5, 4, 2).step.tolist()
    [0, 0, 1]
    """
    size = _part(batch, largest)
    steps, per_batch = -(-images // batch), -(-batch // size)
    positions = np.full((steps, per_batch * size), -1, np.int64)
    positions[:, :batch] = np.arange(steps * batch).reshape(steps, batch)
    positions[positions >= images] = -1
    positions = positions.reshape(steps * per_batch, size)
    used = positions[:, 0] >= 0
    return Microbatches(positions[used], np.repeat(np.arange(steps), per_batch)[used])


@dataclass(frozen=True, eq=False)
class Chunk:
    """K parts of m images in a row, of which the first `rows` are to be computed; the others only keep K the same.

    `images` uint8 [K, m, H, W, C], `labels` int32 [K, m], and per part: `counts`, `learning_rates` and `momentum`
    (0 where it is not cycled) float32 [K], `first` and `last` bool [K].
    """

    rows: int
    images: NDArray[np.uint8]
    labels: NDArray[np.int32]
    counts: NDArray[np.float32]
    learning_rates: NDArray[np.float32]
    momentum: NDArray[np.float32]
    first: NDArray[np.bool_]
    last: NDArray[np.bool_]

    def columns(self) -> dict[str, NDArray[np.generic]]:
        """All but `rows`, by name."""
        return {column.name: getattr(self, column.name) for column in fields(self)[1:]}


def chunks(
    parts: Microbatches,
    gather: Gather,
    labels: NDArray[np.int64],
    learning_rates: NDArray[np.float32],
    momentum: NDArray[np.float32] | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    at_least: int = 1,
) -> Iterator[Chunk]:
    """The parts in chunks of at most `chunk_bytes` of images (or one part).

    A chunk holds parts with the same number of images, and no image stands in for a missing one: a layer that
    looks at a whole batch (BatchNormalization) would learn from it. Chunks of whole parts all have the same K,
    which is `at_least` so much, where that many fit, so that fewer parts are computed by the same program; and so
    have chunks of smaller parts with the same number of images.

    `gather` gives the images at positions [n] as uint8 [n, H, W, C]; `labels` int64 [N] are in the epoch's
    order; `learning_rates` float32 [steps] has one rate a weight step, and so has `momentum` where it is cycled.
    """
    if momentum is None:
        momentum = np.zeros_like(learning_rates)
    one = gather(np.zeros(1, np.int64))
    runs = _runs(parts.sizes)
    for run in runs:
        size = int(parts.sizes[run.start])
        longest = max(len(other) for other in runs if parts.sizes[other.start] == size)
        if size == parts.positions.shape[1]:
            longest = max(longest, at_least)
        length = min(longest, max(1, chunk_bytes // (size * one.nbytes)))
        for start in range(run.start, run.stop, length):
            here = slice(start, min(start + length, run.stop))
            positions = parts.positions[here, :size]
            rows = len(positions)
            images = gather(positions.ravel()).reshape(rows, size, *one.shape[1:])
            yield Chunk(
                rows,
                _filled(images, length),
                _filled(labels[positions].astype(np.int32), length),
                _filled(parts.counts[here], length),
                _filled(learning_rates[parts.step[here]], length),
                _filled(momentum[parts.step[here]], length),
                _filled(parts.first[here], length),
                _filled(parts.last[here], length),
            )


def _runs(sizes: NDArray[np.int64]) -> list[range]:
    """The places of `sizes` [R] in runs of equal ones.

    >>> _runs(np.array([4, 4, 4, 1]))
    [range(0, 3), range(3, 4)]
    """
    edges = [0, *(np.flatnonzero(np.diff(sizes)) + 1).tolist(), len(sizes)]
    return [range(start, stop) for start, stop in pairwise(edges)]


def _filled(rows: NDArray[T], length: int) -> NDArray[T]:
    if len(rows) == length:
        return rows
    result = np.zeros((length, *rows.shape[1:]), rows.dtype)
    result[: len(rows)] = rows
    return result
