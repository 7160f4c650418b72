"""The totals of an epoch's microbatches."""

import math

import numpy as np

from experiments.training.backends import PendingSums, Sums
from experiments.training.epoch_loop import Totals, run
from experiments.training.microbatches import Chunk, chunks, cut


def test_means_are_over_images_not_over_batches() -> None:
    microbatches = cut(5, 4, 2)
    totals = Totals(microbatches, Sums(np.array([2, 4, 3], np.float32), np.array([2, 1, 0], np.float32)))
    assert totals.images == 5
    assert totals.loss == 9 / 5
    assert totals.accuracy == 3 / 5
    assert totals.by_step.tolist() == [6 / 4, 3]


def test_a_batch_that_was_not_computed_whole_has_no_loss() -> None:
    microbatches = cut(5, 4, 2)
    totals = Totals(microbatches, Sums(np.array([2], np.float32), np.array([2], np.float32)))
    assert totals.images == 2
    assert totals.loss == 1
    assert np.isnan(totals.by_step).all()


def test_running_ends_with_the_first_chunk_whose_loss_is_not_finite() -> None:
    microbatches = cut(6, 1, 1)
    images = np.zeros((6, 2, 2, 1), np.uint8)
    begun: list[int] = []

    def compute(chunk: Chunk) -> PendingSums:
        begun.append(int(chunk.labels[0, 0]))
        losses = np.array([np.nan if begun[-1] == 3 else 1], np.float32)
        return lambda: Sums(losses, np.ones(1, np.float32))

    gathered = chunks(microbatches, lambda p: images[p], np.arange(6), np.zeros(6, np.float32), chunk_bytes=1)
    totals = run(compute, gathered, microbatches)
    assert begun == [0, 1, 2, 3]
    assert math.isnan(totals.loss)
    assert totals.images == 4
    assert totals.accuracy == 1
    assert np.isnan(totals.by_step).tolist() == [False, False, False, True, True, True]
