"""Kernels drawn with NumPy against those that Keras draws itself."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from experiments.models import initializers
from experiments.models.initializers import INITIALIZERS
from experiments.training import backends

SHAPES = [(3, 3, 64, 128), (1, 1, 300, 700), (700, 300)]


@pytest.fixture(scope="module")
def keras() -> None:
    """Keras on a backend with one thread."""
    backends.start(1)


def drawn(name: str, shape: tuple[int, ...], seed: int = 3) -> Any:
    return initializers.draw(name, shape, np.random.Generator(np.random.PCG64(seed)))


@pytest.mark.parametrize("name", INITIALIZERS)
def test_each_row_is_the_initializer_of_keras_of_that_name(keras: None, name: str) -> None:
    from keras import initializers as installed

    theirs = installed.get(name)
    assert isinstance(theirs, installed.VarianceScaling)
    row = INITIALIZERS[name]
    assert (theirs.scale, theirs.mode, theirs.distribution) == (row.scale, row.mode, row.distribution)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", INITIALIZERS)
def test_values_are_distributed_as_those_of_keras(keras: None, name: str, shape: tuple[int, ...]) -> None:
    from keras import initializers as installed

    ours = drawn(name, shape)
    theirs = np.array(installed.get({"class_name": name, "config": {"seed": 5}})(shape))
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype == np.float32
    # Both are samples of at least 70,000 values: their deviations agree to within 1 %, and so do their ends.
    assert ours.std() == pytest.approx(theirs.std(), rel=0.01)
    assert ours.min() == pytest.approx(theirs.min(), rel=0.01)
    assert ours.max() == pytest.approx(theirs.max(), rel=0.01)
    assert abs(ours.mean()) < 5 * ours.std() / math.sqrt(ours.size)
    assert stats.kstest(ours.ravel(), theirs.ravel()).pvalue > 0.001


@pytest.mark.parametrize("name", INITIALIZERS)
def test_values_follow_the_formula_and_keep_to_its_bounds(name: str) -> None:
    row, shape = INITIALIZERS[name], (3, 3, 64, 128)
    fan = 9 * (64 if row.mode == "fan_in" else 96)
    deviation = math.sqrt(row.scale / fan)
    values = drawn(name, shape).ravel()
    if row.distribution == "uniform":
        limit = deviation * math.sqrt(3)
        exact = stats.uniform(-limit, 2 * limit)
    else:
        untruncated = deviation / 0.87962566103423978
        limit = 2 * untruncated
        exact = stats.truncnorm(-2, 2, scale=untruncated)
    assert 0.999 * limit < np.abs(values).max() <= limit * (1 + 1e-6)
    assert stats.kstest(values, exact.cdf).pvalue > 0.001


@pytest.mark.parametrize("name", INITIALIZERS)
def test_values_come_from_the_generator_alone(name: str) -> None:
    first = drawn(name, (3, 3, 4, 8))
    np.random.seed(0)
    drawn("he_normal", (5, 5))
    assert drawn(name, (3, 3, 4, 8)).tobytes() == first.tobytes()
    assert not np.array_equal(drawn(name, (3, 3, 4, 8), seed=4), first)
