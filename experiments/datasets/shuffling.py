"""The order of an epoch's images and their random changes, from (seed, epoch) alone."""

import numpy as np
from numpy.typing import NDArray

from experiments.datasets.settings import Augmentation

ORDER, CHANGES = 0, 1
"""Separate streams of random numbers."""


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
    """`batch` [B, H, W, C] changed at random: uint8 [B, H, W, C], a new array unless nothing is to change.

    Half of the images are mirrored. Then each is shifted by up to `shift` pixels up or down and left or right,
    with its edge repeated. `positions` int64 [B] are the images' numbers in the epoch. Each has a random word of
    its own, so other batch sizes change nothing.
    """
    if augmentation == Augmentation():
        return batch
    words = _words(seed, epoch, positions)
    result = batch.copy()
    if augmentation.horizontal_flip:
        mirrored = (words & np.uint64(1)).astype(bool)
        result[mirrored] = batch[mirrored, :, ::-1]
    return _shifted(result, words, augmentation.shift) if augmentation.shift else result


def _shifted(batch: NDArray[np.uint8], words: NDArray[np.uint64], limit: int) -> NDArray[np.uint8]:
    height, width = batch.shape[1:3]
    choices = np.uint64(2 * limit + 1)
    tops = ((words >> np.uint64(8)) & np.uint64(0xFFFFFF)) % choices
    lefts = ((words >> np.uint64(32)) & np.uint64(0xFFFFFF)) % choices
    padded = np.pad(batch, ((0, 0), (limit, limit), (limit, limit), (0, 0)), mode="edge")
    result = np.empty_like(batch)
    for index, (top, left) in enumerate(zip(tops.tolist(), lefts.tolist(), strict=True)):
        result[index] = padded[index, top : top + height, left : left + width]
    return result


def _words(seed: int, epoch: int, positions: NDArray[np.int64]) -> NDArray[np.uint64]:
    """64 random bits for each position: SplitMix64 (Steele, Lea & Flood 2014) at that position of its stream."""
    start = _sequence(seed, epoch, CHANGES).generate_state(1, np.uint64)
    word = start + (positions.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = word ^ (word >> np.uint64(31))
    return mixed


def _sequence(seed: int, epoch: int, stream: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(entropy=seed, spawn_key=(epoch, stream))
