"""The images of an epoch, cut into microbatches and gathered in chunks of many equal microbatches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

CHUNK_BYTES = 64 * 2**20
"""Bytes of images in one call of the compiled loop."""
WHOLE_BATCH = 256
"""Images: a larger batch, and a full one, is computed in microbatches and applied in one weight step."""
MICROBATCH_PIXELS = 2**20
"""Pixels of all images of a microbatch: about 3 GiB of activations at width 1."""

T = TypeVar("T", bound=np.generic)
Gather = Callable[[NDArray[np.int64]], NDArray[np.uint8]]


@dataclass(frozen=True)
class Division:
    """How a batch is computed: `batch` images a weight step, `microbatch` of them at a time.

    Dropout is drawn and sums are rounded in each microbatch, so both decide the numbers.
    """

    batch: int
    microbatch: int


def largest_microbatch(height: int, width: int) -> int:
    """How many images of `height` x `width` pixels a microbatch has at most, unless a batch size sets more.

    >>> [largest_microbatch(side, side) for side in (32, 224)]
    [256, 20]
    """
    return max(1, min(WHOLE_BATCH, MICROBATCH_PIXELS // (height * width)))


def division(batch_size: int | Literal["full"], images: int, height: int, width: int) -> Division:
    """The division of `images` of `height` x `width` pixels for `batch_size`, where "full" is all of them.

    No batch is larger than all images. A batch size up to WHOLE_BATCH, set as a number, is one microbatch; every
    other batch has microbatches of nearly equal sizes.

    >>> division(64, 1000, 224, 224), division("full", 64, 224, 224)
    (Division(batch=64, microbatch=64), Division(batch=64, microbatch=16))
    """
    batch = images if batch_size == "full" else min(batch_size, images)
    if batch_size != "full" and batch <= WHOLE_BATCH:
        return Division(batch, batch)
    return Division(batch, _even_size(batch, largest_microbatch(height, width)))


def _even_size(batch: int, largest: int) -> int:
    return -(-batch // -(-batch // largest))


@dataclass(frozen=True, eq=False)
class Microbatches:
    """An epoch in R microbatches of m images; consecutive microbatches make a batch, which is one weight step.

    `positions` int64 [R, m] index the epoch's order, -1 where a microbatch has fewer images. `step` int64 [R] is
    the weight step of each microbatch.
    """

    positions: NDArray[np.int64]
    step: NDArray[np.int64]

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """How many images each microbatch has: int64 [R]."""
        sizes: NDArray[np.int64] = np.sum(self.positions >= 0, axis=1, dtype=np.int64)
        return sizes

    @cached_property
    def counts(self) -> NDArray[np.float32]:
        """How many images the whole batch of each microbatch has: float32 [R]."""
        images = np.bincount(self.step, self.sizes)
        return images[self.step].astype(np.float32)

    @cached_property
    def first(self) -> NDArray[np.bool_]:
        """Whether a microbatch begins its batch: bool [R]."""
        return np.diff(self.step, prepend=-1) > 0

    @cached_property
    def last(self) -> NDArray[np.bool_]:
        """Whether a microbatch ends its batch: bool [R]."""
        return np.diff(self.step, append=self.step[-1] + 1) > 0

    def of_steps(self, steps: range) -> "Microbatches":
        """The microbatches of the consecutive weight steps `steps` alone."""
        rows = slice(*np.searchsorted(self.step, (steps.start, steps.stop)))
        return Microbatches(self.positions[rows], self.step[rows])


def cut(images: int, batch: int, largest: int) -> Microbatches:
    """`images` in batches of `batch`, the last one smaller, in microbatches of at most `largest` images.

    >>> cut(5, 2, 2).positions.tolist()
    [[0, 1], [2, 3], [4, -1]]
    >>> cut(5, 4, 2).step.tolist()
    [0, 0, 1]
    """
    size = _even_size(batch, largest)
    steps, per_batch = -(-images // batch), -(-batch // size)
    positions = np.full((steps, per_batch * size), -1, np.int64)
    positions[:, :batch] = np.arange(steps * batch).reshape(steps, batch)
    positions[positions >= images] = -1
    positions = positions.reshape(steps * per_batch, size)
    filled = positions[:, 0] >= 0
    return Microbatches(positions[filled], np.repeat(np.arange(steps), per_batch)[filled])


@dataclass(frozen=True, eq=False, kw_only=True)
class Chunk:
    """K consecutive microbatches of m images: the first `rows` are computed, the others only keep K the same.

    `images` uint8 [K, m, H, W, C], `labels` int32 [K, m]. For each microbatch: `counts`, `learning_rates` and
    `momentum` (0 where it is not cycled) float32 [K], `first` and `last` bool [K].
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
    microbatches: Microbatches,
    gather: Gather,
    labels: NDArray[np.int64],
    learning_rates: NDArray[np.float32],
    momentum: NDArray[np.float32] | None = None,
    chunk_bytes: int = CHUNK_BYTES,
    minimum_length: int = 1,
) -> Iterator[Chunk]:
    """The `microbatches` in chunks of at most `chunk_bytes` of images, or of one microbatch.

    All microbatches of a chunk have the same number of images. No padding image replaces a missing one, because a
    layer such as BatchNormalization would learn from it. Chunks of microbatches of one size have the same K, so
    that one compiled loop serves them all. For whole microbatches K is at least `minimum_length`, if the bytes
    allow it.

    `gather` gives the images at positions [n] as uint8 [n, H, W, C]. `labels` int64 [N] are in the epoch's order.
    `learning_rates` float32 [steps] has one rate for each weight step, and so has `momentum` where it is cycled.
    """
    if momentum is None:
        momentum = np.zeros_like(learning_rates)
    example = gather(np.zeros(1, np.int64))
    runs = _runs(microbatches.sizes)
    for run in runs:
        size = int(microbatches.sizes[run.start])
        longest = max(len(r) for r in runs if microbatches.sizes[r.start] == size)
        if size == microbatches.positions.shape[1]:
            longest = max(longest, minimum_length)
        length = min(longest, max(1, chunk_bytes // (size * example.nbytes)))
        for start in range(run.start, run.stop, length):
            selection = slice(start, min(start + length, run.stop))
            positions = microbatches.positions[selection, :size]
            rows = len(positions)
            images = gather(positions.ravel()).reshape(rows, size, *example.shape[1:])
            yield Chunk(
                rows=rows,
                images=_padded(images, length),
                labels=_padded(labels[positions].astype(np.int32), length),
                counts=_padded(microbatches.counts[selection], length),
                learning_rates=_padded(learning_rates[microbatches.step[selection]], length),
                momentum=_padded(momentum[microbatches.step[selection]], length),
                first=_padded(microbatches.first[selection], length),
                last=_padded(microbatches.last[selection], length),
            )


def _runs(sizes: NDArray[np.int64]) -> list[range]:
    """The indices of `sizes` [R] in runs of equal values.

    >>> _runs(np.array([4, 4, 4, 1]))
    [range(0, 3), range(3, 4)]
    """
    edges = [0, *(np.flatnonzero(np.diff(sizes)) + 1).tolist(), len(sizes)]
    return [range(start, stop) for start, stop in pairwise(edges)]


def _padded(rows: NDArray[T], length: int) -> NDArray[T]:
    if len(rows) == length:
        return rows
    result = np.zeros((length, *rows.shape[1:]), rows.dtype)
    result[: len(rows)] = rows
    return result
