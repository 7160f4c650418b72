"""Cutting an epoch into microbatches and chunks."""

import numpy as np
import pytest

from experiments.training.microbatches import chunks, cut


@pytest.mark.parametrize(
    ("images", "batch", "largest"), [(1, 1, 1), (10, 4, 4), (10, 4, 3), (7, 7, 2), (9, 3, 256)]
)
def test_every_image_is_in_one_microbatch_in_order(images: int, batch: int, largest: int) -> None:
    microbatches = cut(images, batch, largest)
    assert microbatches.positions[microbatches.positions >= 0].tolist() == list(range(images))
    assert microbatches.positions.shape[1] <= largest
    assert microbatches.sizes.all()
    steps = [position // batch for position in range(images)]
    assert np.repeat(microbatches.step, microbatches.sizes).tolist() == steps


def test_a_batch_in_microbatches_knows_its_images_and_its_ends() -> None:
    microbatches = cut(9, 6, 4)
    assert microbatches.positions.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert microbatches.step.tolist() == [0, 0, 1]
    assert microbatches.counts.tolist() == [6, 6, 3]
    assert microbatches.first.tolist() == [True, False, True]
    assert microbatches.last.tolist() == [False, True, True]


def test_a_microbatch_without_images_is_left_out() -> None:
    microbatches = cut(7, 6, 3)
    assert microbatches.positions.tolist() == [[0, 1, 2], [3, 4, 5], [6, -1, -1]]
    assert microbatches.last.tolist() == [False, True, True]


def test_chunks_carry_every_microbatch_with_its_rate_and_its_own_images_only() -> None:
    images = np.arange(7 * 4, dtype=np.uint8).reshape(7, 2, 2, 1)
    labels = np.arange(7)
    rates = np.array([0.5, 0.25, 0.125, 0.0625], np.float32)
    microbatches = cut(7, 2, 2)
    got = list(chunks(microbatches, lambda positions: images[positions], labels, rates, chunk_bytes=3 * 8))
    assert [chunk.images.shape for chunk in got] == [(3, 2, 2, 2, 1), (1, 1, 2, 2, 1)]

    got = list(chunks(microbatches, lambda positions: images[positions], labels, rates, chunk_bytes=2 * 8))
    assert [chunk.rows for chunk in got] == [2, 1, 1]
    assert [chunk.images.shape[:2] for chunk in got] == [(2, 2), (2, 2), (1, 1)]
    columns = [chunk.columns() for chunk in got]
    used = {
        name: np.concatenate([c[name][: g.rows].ravel() for c, g in zip(columns, got, strict=True)])
        for name in columns[0]
    }
    assert used["learning_rates"].tolist() == rates.tolist()
    assert used["counts"].tolist() == [2, 2, 2, 1]
    assert used["labels"].tolist() == labels.tolist()
    assert np.array_equal(used["images"], images.ravel())
    assert used["labels"].dtype == np.int32


def test_chunks_of_whole_microbatches_have_a_minimum_length_and_smaller_ones_keep_to_themselves() -> None:
    images, labels = np.zeros((11, 1, 1, 1), np.uint8), np.zeros(11, np.int64)
    # Every batch of five is two microbatches: of three images, and of two; the last batch has one image.
    microbatches = cut(11, 5, 3)
    assert microbatches.sizes.tolist() == [3, 2, 3, 2, 1]
    got = list(
        chunks(
            microbatches, lambda positions: images[positions], labels, np.zeros(3, np.float32), minimum_length=2
        )
    )
    assert [chunk.images.shape[:2] for chunk in got] == [(2, 3), (1, 2), (2, 3), (1, 2), (1, 1)]
    assert [chunk.rows for chunk in got] == [1] * 5
    assert [bool(chunk.last[0]) for chunk in got] == [False, True, False, True, True]
