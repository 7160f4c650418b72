"""Running a compiled loop over the chunks of an epoch, and its loss and accuracy."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.training.backends import PendingSums, Sums
from experiments.training.microbatches import Chunk, Microbatches


@dataclass(frozen=True, eq=False)
class Totals:
    """The `sums` of the first of the `microbatches`, as many as were computed."""

    microbatches: Microbatches
    sums: Sums

    @property
    def images(self) -> int:
        """How many images were computed."""
        return int(self._images.sum())

    @property
    def loss(self) -> float:
        """The mean loss of an image; not finite where the loop ended early."""
        return float(self.sums.losses.sum(dtype=np.float64) / self.images)

    @property
    def accuracy(self) -> float:
        """The fraction of images that were classified correctly."""
        return float(self.sums.correct.sum(dtype=np.float64) / self.images)

    @property
    def by_step(self) -> NDArray[np.float32]:
        """The mean loss of each batch: float32 [steps], NaN for one that was not computed whole."""
        batches = self.microbatches.step - self.microbatches.step[0]
        steps, count = batches[: len(self._images)], int(batches[-1]) + 1
        losses = np.bincount(steps, self.sums.losses, count)
        computed = np.bincount(steps, self._images, count)
        sizes = np.bincount(batches, self.microbatches.sizes)
        return np.where(computed == sizes, losses / sizes, np.nan).astype(np.float32)

    @property
    def _images(self) -> NDArray[np.int64]:
        return self.microbatches.sizes[: len(self.sums.losses)]


def run(compute: Callable[[Chunk], PendingSums], chunks: Iterable[Chunk], microbatches: Microbatches) -> Totals:
    """`compute` for all `chunks` of `microbatches`, or up to the first loss that is not finite.

    The next chunk is gathered while the backend may still be computing.
    """
    results: list[Sums] = []
    pending: PendingSums | None = None
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
    return Totals(microbatches, Sums(losses, correct))
