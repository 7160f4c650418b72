"""The number of seeds that a test needs, against scipy and by simulation."""

import doctest

import numpy as np
import pytest

from orchestrator.statistics import power as module
from orchestrator.statistics.power import needed_seeds


def test_the_examples_hold():
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(("effect", "borrowed", "comparisons"), [(1.0, 0.0, 1), (0.5, 0.0, 3), (0.8, 6.0, 11)])
def test_so_many_seeds_have_the_power_and_one_fewer_has_not(effect, borrowed, comparisons):
    from scipy import stats

    n = int(needed_seeds(effect, 1.0, borrowed, comparisons, 0.95))

    def power(n):
        degrees = n - 1 + borrowed
        return stats.nct.sf(stats.t.ppf(1 - 0.05 / comparisons, degrees), degrees, effect * np.sqrt(n))

    assert power(n) >= 0.8 > power(n - 1)


def test_by_simulation():
    from scipy import stats

    n = int(needed_seeds(0.6, 1.0, 0.0, 1, 0.95))
    draws = np.random.default_rng(0).normal(0.6, 1.0, (20_000, n))
    seen = stats.ttest_1samp(draws, 0, axis=1, alternative="greater").pvalue < 0.05
    assert seen.mean() == pytest.approx(0.8, abs=0.03)


def test_scale_does_not_matter_and_no_effect_is_never_seen():
    assert needed_seeds(0.01, 0.0001, 2.0, 5, 0.95) == needed_seeds(1.0, 1.0, 2.0, 5, 0.95)
    assert needed_seeds(0.0, 1.0, 2.0, 5, 0.95) == np.inf
    assert needed_seeds(-1.0, 1.0, 2.0, 5, 0.95) == np.inf
    assert needed_seeds(1e-3, 1.0, 2.0, 5, 0.95) == np.inf
