"""The order of an epoch's images and their random changes, from (seed, epoch) alone."""

import numpy as np
from numpy.typing import NDArray

from experiments.datasets.settings import Augmentation

ORDER, CHANGES = 0, 1  # separate streams of random numbers


def order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """A permutation of `count` positions, int64 [count], the same for the same (count, seed, epoch)."""
    return np.random.default_rng(_sequence(seed, epoch, ORDER)).permutation(count).astype(np.int64, copy=False)


def augment(
    batch: NDArray[np.uint8],
    augmentation: Augmentation,
    seed: int,
    epoch: int,
    positions: NDArray[np.int64],
) -> NDArray[np.uint8]:
    """`batch` [B, H, W, C] changed at random: a coin per image for the mirror, then a shift of up to `shift`
    pixels up or down and left or right, the edge repeated. uint8 [B, H, W, C], a new array unless there is
    nothing to change.

    `positions` int64 [B] are the images' numbers within the epoch. Each has its own random word, so cutting
    an epoch into other batches changes nothing.
    """
    if augmentation == Augmentation():
        return batch
    words = _words(seed, epoch, positions)
    result = batch.copy()
    if augmentation.horizontal_flip:
        mirrored = (words & np.uint64(1)).astype(bool)
        result[mirrored] = batch[mirrored, :, ::-1]
    return _shifted(result, words, augmentation.shift) if augmentation.shift else result


def _shifted(batch: NDArray[np.uint8], words: NDArray[np.uint64], most: int) -> NDArray[np.uint8]:
    height, width = batch.shape[1:3]
    choices = np.uint64(2 * most + 1)
    tops = ((words >> np.uint64(8)) & np.uint64(0xFFFFFF)) % choices
    lefts = ((words >> np.uint64(32)) & np.uint64(0xFFFFFF)) % choices
    wide = np.pad(batch, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    result = np.empty_like(batch)
    for index, (top, left) in enumerate(zip(tops.tolist(), lefts.tolist(), strict=True)):
        result[index] = wide[index, top : top + height, left : left + width]
    return result


def _words(seed: int, epoch: int, positions: NDArray[np.int64]) -> NDArray[np.uint64]:
    """64 random bits per position: SplitMix64 (Steele, Lea & Flood 2014) read at that place of its stream."""
    start = _sequence(seed, epoch, CHANGES).generate_state(1, np.uint64)
    word = start + (positions.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = word ^ (word >> np.uint64(31))
    return mixed


def _sequence(seed: int, epoch: int, stream: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(entropy=seed, spawn_key=(epoch, stream))
