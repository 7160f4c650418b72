"""How many seeds a test needs."""

import numpy as np

POWER = 0.8
"""The probability with which that many seeds settle a question, if difference and spread stay as they are."""
MOST_SEEDS = 1_000


def needed_seeds(effect: float, variance: float, borrowed: float, comparisons: int, level: float) -> float:
    """The fewest seeds with which a one-sided t-test at alpha / `comparisons` sees `effect`, with power POWER.

    `effect` is a mean difference, `variance` that of one seed's difference. `borrowed` degrees of freedom come
    from other pairs. Infinite for more than MOST_SEEDS.

    >>> needed_seeds(1.0, 1.0, 0.0, 1, 0.95)
    8
    """
    from scipy.special import nctdtr, stdtrit

    def power(n: int) -> float:
        degrees = n - 1 + borrowed
        critical = stdtrit(degrees, 1 - (1 - level) / comparisons)
        return float(1 - nctdtr(degrees, effect * np.sqrt(n / variance), critical))

    if not effect > 0 or power(MOST_SEEDS) < POWER:
        return np.inf
    fewest, enough = 1, MOST_SEEDS
    while enough - fewest > 1:
        middle = (fewest + enough) // 2
        fewest, enough = (fewest, middle) if power(middle) >= POWER else (middle, enough)
    return enough
