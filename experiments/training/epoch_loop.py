"""Running a compiled loop over an epoch's chunks, and what came of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.training.backends import Measured, Pending
from experiments.training.microbatches import Chunk, Microbatches


@dataclass(frozen=True, eq=False)
class Totals:
    """The sums of the parts that were computed, which are the first ones of `parts`."""

    parts: Microbatches
    measured: Measured

    @property
    def images(self) -> int:
        """How many images were computed."""
        return int(self._images.sum())

    @property
    def loss(self) -> float:
        """The mean loss of an image; not finite where computing ended early."""
        return float(self.measured.losses.sum(dtype=np.float64) / self.images)

    @property
    def accuracy(self) -> float:
        """The fraction of images that were classified correctly."""
        return float(self.measured.correct.sum(dtype=np.float64) / self.images)

    @property
    def by_step(self) -> NDArray[np.float32]:
        """The mean loss of each batch of `parts`: float32 [steps], NaN for one that was not computed whole."""
        every = self.parts.step - self.parts.step[0]
        steps, count = every[: len(self._images)], int(every[-1]) + 1
        losses = np.bincount(steps, self.measured.losses, count)
        computed = np.bincount(steps, self._images, count)
        whole = np.bincount(every, self.parts.sizes)
        return np.where(computed == whole, losses / whole, np.nan).astype(np.float32)

    @property
    def _images(self) -> NDArray[np.int64]:
        return self.parts.sizes[: len(self.measured.losses)]


def run(compute: Callable[[Chunk], Pending], chunks: Iterable[Chunk], parts: Microbatches) -> Totals:
    """`compute` for all `chunks` of `parts`, or up to the first loss that is not finite.

    A chunk is gathered while the one before it may still be computing.
    """
    results: list[Measured] = []
    pending: Pending | None = None
    for chunk in chunks:
        if pending is not None:
            results.append(pending())
            if not np.all(np.isfinite(results[-1].losses)):
                pending = None
                break
        pending = compute(chunk)
    if pending is not None:
        results.append(pending())
    losses, correct = (np.concatenate(column) for column in zip(*results, strict=True))
    return Totals(parts, Measured(losses, correct))
