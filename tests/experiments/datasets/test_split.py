"""The split and the limit, over many sizes and seeds."""

from collections import Counter

import numpy as np
import pytest

from experiments.datasets.split import apportion, split, subset


def classes_of(sizes):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return [f"{label}/{number}" for number, label in enumerate(labels)], labels


@pytest.mark.parametrize("seed", range(40))
def test_a_split_is_stratified_disjoint_complete_and_seeded(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, rng.choice([4, 40, 400]), rng.integers(2, 12))
    validation = rng.uniform(0.01, 0.99)
    names, labels = classes_of(sizes)
    train, held = split(names, labels, validation, seed)
    assert sorted([*train, *held]) == list(range(len(names)))
    counts = np.bincount(labels[held], minlength=len(sizes))
    assert (counts >= 1).all()
    assert (sizes - counts >= 1).all()
    assert len(held) == np.clip(round(validation * len(names)), len(sizes), len(names) - len(sizes))
    if (validation * sizes >= 1).all() and ((1 - validation) * sizes >= 1).all():
        assert np.abs(counts - validation * sizes).max() < 1.5
    for mine, again in zip((train, held), split(names, labels, validation, seed), strict=True):
        assert mine.dtype == np.int64
        assert mine.tolist() == again.tolist()


def test_the_split_depends_on_the_seed_and_hardly_on_other_images():
    names, labels = classes_of([100, 100])
    held = {seed: {names[i] for i in split(names, labels, 0.25, seed)[1]} for seed in range(2)}
    assert held[0] != held[1]
    more = split([*names, "0/new"], np.append(labels, 0), 0.25, 0)[1]
    assert len(held[0] ^ {names[i] for i in more if i < 200}) <= 1


def test_a_limit_keeps_shares_and_grows_by_adding():
    names, labels = classes_of([600, 300, 100])
    small, large = subset(names, labels, 20, 3), subset(names, labels, 50, 3)
    assert Counter(labels[small].tolist()) == {0: 12, 1: 6, 2: 2}
    assert set(small.tolist()) < set(large.tolist())
    assert set(small.tolist()) != set(subset(names, labels, 20, 4).tolist())
    assert len(subset(names, labels, 5000, 3)) == 1000


@pytest.mark.parametrize(
    ("total", "sizes", "least", "left", "shares"),
    [
        (6250, [12500, 12500], 1, 1, [3125, 3125]),
        (4, [1000, 2], 2, 0, [2, 2]),
        (5, [1000, 2], 2, 0, [3, 2]),
        (3, [1, 1, 1], 1, 0, [1, 1, 1]),
        (7, [5, 5], 1, 1, [4, 3]),
        (2, [2, 500], 1, 1, [1, 1]),
        (500, [2, 500], 1, 1, [1, 499]),
    ],
)
def test_shares_by_largest_remainder(total, sizes, least, left, shares):
    assert apportion(total, np.array(sizes), least, left).tolist() == shares
