"""Order and augmentation: from seed and epoch alone."""

from collections import Counter

import numpy as np

from experiments import datasets
from experiments.datasets import Augmentation


def test_an_order_comes_from_seed_and_epoch_alone():
    np.random.seed(1)
    state = np.random.get_state()[1].tolist()
    first = datasets.order(1000, 0, 0)
    assert first.dtype == np.int64
    assert sorted(first.tolist()) == list(range(1000))
    assert first.tolist() == datasets.order(1000, 0, 0).tolist()
    begins = {tuple(datasets.order(1000, seed, epoch)[:8]) for seed in range(5) for epoch in range(5)}
    assert len(begins) == 25
    assert np.random.get_state()[1].tolist() == state


def numbered(count, side=6):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def test_augmentation_does_not_depend_on_the_batches():
    batch, both = numbered(100), Augmentation(horizontal_flip=True, shift=2)
    positions = np.arange(100)
    whole = datasets.augment(batch, both, 3, 4, positions)
    parts = [datasets.augment(batch[p], both, 3, 4, p) for p in np.array_split(positions, 7)]
    assert (np.concatenate(parts) == whole).all()
    assert (whole != datasets.augment(batch, both, 3, 5, positions)).any()
    assert (whole != datasets.augment(batch, both, 4, 4, positions)).any()
    assert (batch == numbered(100)).all()
    assert datasets.augment(batch, Augmentation(), 3, 4, positions) is batch


def test_a_flip_is_a_fair_coin_and_a_mirror():
    batch = numbered(4000)
    result = datasets.augment(batch, Augmentation(horizontal_flip=True), 0, 0, np.arange(4000))
    mirrored = (result == batch[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (result == batch).all(axis=(1, 2, 3))).all()
    assert 0.47 < mirrored.mean() < 0.53


def test_a_shift_moves_every_way_equally_often_and_repeats_the_edge():
    batch = numbered(2500)
    result = datasets.augment(batch, Augmentation(shift=2), 0, 0, np.arange(2500))
    seen = Counter()
    grid = np.arange(6)
    for down in range(-2, 3):
        for right in range(-2, 3):
            rows, columns = (grid - down).clip(0, 5), (grid - right).clip(0, 5)
            expected = batch[:, rows][:, :, columns]
            seen[down, right] = int((result == expected).all(axis=(1, 2, 3)).sum())
    assert sum(seen.values()) == 2500
    assert min(seen.values()) > 60
    assert max(seen.values()) < 145
