"""The split and the limit, over many sizes and seeds."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.datasets.split import apportion, split, subset


def classes_of(sizes):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return [f"{label}/{number}" for number, label in enumerate(labels)], labels


SIZES = st.lists(st.integers(3, 60), min_size=2, max_size=8).map(np.array)
SHARES = st.tuples(st.floats(0.01, 0.99), st.just(0.0) | st.floats(0.01, 0.9)).filter(lambda pair: sum(pair) < 1)
SEEDS = st.integers(0, 2**31)


def per_class(indices, labels, classes):
    return np.bincount(labels[indices], minlength=classes)


@settings(deadline=None, max_examples=50)
@given(SIZES, SHARES, SEEDS)
def test_a_split_is_stratified_disjoint_complete_and_seeded(sizes, shares, seed):
    (validation, test), (names, labels) = shares, classes_of(sizes)
    divided = split(names, labels, validation, seed, test)
    assert sorted(np.concatenate(divided).tolist()) == list(range(len(names)))
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in divided)
    trained, held, tested = (per_class(part, labels, len(sizes)) for part in divided)
    for counts in (trained, held, tested) if test else (trained, held):
        assert (counts >= 1).all()
    assert len(divided.test) == (total(test, sizes, 2 * len(sizes)) if test else 0)
    assert len(divided.validation) == total(validation, sizes, len(sizes) + len(divided.test))
    for counts, most in ((tested, sizes - 2), (held, sizes - tested - 1)):
        exact = counts.sum() * sizes / sizes.sum()
        if (exact >= 1).all() and (exact <= most).all():
            assert np.abs(counts - exact).max() < 1
    for part, other in zip(divided, split(names, labels, validation, seed, test), strict=True):
        assert part.tolist() == other.tolist()


def total(share, sizes, remaining):
    return int(np.clip(round(share * sizes.sum()), len(sizes), sizes.sum() - remaining))


@settings(deadline=None, max_examples=50)
@given(SIZES, st.floats(0.01, 0.5), st.floats(0.01, 0.49), st.floats(0.01, 0.49), SEEDS)
def test_the_test_images_do_not_depend_on_the_share_of_validation(sizes, test, validation, other, seed):
    names, labels = classes_of(sizes)
    one, two = (split(names, labels, share, seed, test).test.tolist() for share in (validation, other))
    assert one == two


@settings(deadline=None, max_examples=50)
@given(SIZES, SHARES, SEEDS, st.integers(0, 7))
def test_one_more_image_moves_no_more_than_the_shares_do(sizes, shares, seed, label):
    (validation, test), (names, labels) = shares, classes_of(sizes)
    before = split(names, labels, validation, seed, test)
    more = np.append(labels, label % len(sizes))
    after = split([*names, "new"], more, validation, seed, test)
    places = [{i: n for n, part in enumerate(divided) for i in part.tolist()} for divided in (before, after)]
    moved = sum(places[0][i] != places[1][i] for i in range(len(names)))
    _, held, tested = (
        np.abs(per_class(new, more, len(sizes)) - per_class(old, labels, len(sizes))).sum()
        for old, new in zip(before, after, strict=True)
    )
    assert moved <= 2 * tested + held + 2


@pytest.mark.parametrize(
    ("seed", "validation", "held"),
    [
        (0, 0.25, [6, 7, 9, 10, 17]),
        (1, 0.25, [1, 5, 10, 13, 16]),
        (2, 0.5, [1, 2, 3, 7, 9, 11, 13, 15, 16, 18]),
    ],
)
def test_which_images_are_held_out_stays_as_it_was_written_down(seed, validation, held):
    """The keys of everything that was trained hold for these images."""
    divided = split(*classes_of([8, 6, 5]), validation, seed)
    assert divided.validation.tolist() == held
    assert divided.train.tolist() == sorted({*range(19)} - {*held})
    assert divided.test.tolist() == []


def test_which_images_are_the_test_set_stays_as_it_was_written_down():
    divided = split(*classes_of([8, 6, 5]), 0.25, 0, test=0.2)
    assert divided.test.tolist() == [3, 7, 9, 17]
    assert divided.validation.tolist() == [0, 6, 10, 13, 15]


def test_the_split_depends_on_the_seed_and_hardly_on_other_images():
    names, labels = classes_of([100, 100])
    for part in ("validation", "test"):
        of = {seed: {names[i] for i in getattr(split(names, labels, 0.25, seed, 0.25), part)} for seed in range(2)}
        assert of[0] != of[1]
        more = getattr(split([*names, "0/new"], np.append(labels, 0), 0.25, 0, 0.25), part)
        assert len(of[0] ^ {names[i] for i in more if i < 200}) <= 1


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
