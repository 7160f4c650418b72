"""The article's learning rates as it printed them, faults included.

The article is "ModelArts-Lab extension experiments (1)", 2019.

In its formulas e is the epoch from 0 and E the number of epochs. All are constant inside an epoch. Those
proportional to the article's base rate are given as fractions of it, so that `peak` is that base: 0.1 in its
part 1 and for one-cycle, 0.01 for sgdr. Restarts, range test and one-cycle know no E: they go on for as many
epochs as there are. Each docstring names the fault and the settings of the general shape that correct it.
"""

import numpy as np

from experiments.schedules.decays import Array, Shape


def published_power(t: Array, total: float) -> Array:
    """0.1 (1 - e/E)^0.8. No fault but its grain: a whole epoch goes by between two rates.

    Corrected: power {exponent: 0.8}; the same numbers with by: epoch.

    >>> published_power(np.array([[0.0], [1.0]]), 2.0).round(4).tolist()
    [[1.0], [0.5743]]
    """
    return (1.0 - t / total) ** 0.8


def published_linear(t: Array, total: float) -> Array:
    """0.1 / (1 + 0.98 e). The fault is the name: it is inverse-time decay, not a line.

    Corrected: inverse-time {decay_rate: 0.98, by: epoch} has the same numbers, linear {final: 0} is a line.

    >>> published_linear(np.array([[0.0], [1.0]]), 2.0).round(4).tolist()
    [[1.0], [0.5051]]
    """
    return 1.0 / (1.0 + 0.98 * t)


def published_exponential(t: Array, total: float) -> Array:
    """0.1 * 0.2^((e+1)/E). The fault: e+1, so that the base rate itself is never used.

    Corrected: exponential {factor: 0.2, every: E}, with the number of epochs written for E.

    >>> published_exponential(np.array([[0.0], [1.0]]), 2.0).round(4).tolist()
    [[0.4472], [0.2]]
    """
    return np.power(0.2, (t + 1.0) / total)


def published_cosine(t: Array, total: float) -> Array:
    """0.5 (0.1 - 0.001) (1 + cos(3.14 e/E)). Faults: the `min_lr` 0.001 is not added back, and 3.14 for pi.

    So it starts below the base rate, at 0.099, and ends near 0 instead of near 0.001.
    Corrected: cosine {final: 0.01}.

    >>> published_cosine(np.array([[0.0], [1.0]]), 2.0).round(4).tolist()
    [[0.99], [0.4954]]
    """
    return 0.5 * (1.0 - 0.01) * (1.0 + np.cos(3.14 * t / total))


def published_sgdr(t: Array, total: float) -> Array:
    """0.5 (0.01 - 0.0001) (1 + cos(3.14 (e mod 10)/10)). Faults: those of the cosine.

    Corrected: sgdr {period: 10, final: 0.01}.

    >>> published_sgdr(np.array([[0.0], [5.0]]), 40.0).round(4).tolist()
    [[0.99], [0.4954]]
    """
    return 0.5 * (1.0 - 0.01) * (1.0 + np.cos(3.14 * np.mod(t, 10.0) / 10.0))


def published_range_test(t: Array, total: float) -> Array:
    """10^(e div 5) * 1e-7 * (1 + 1.6 (e mod 5)), learning rates themselves: a decade in five epochs.

    The fault: uneven steps, in ratio (2.6 times at a decade's beginning, 1.3 near its end) and in difference
    (1.6 four times, then 2.6; 1.8 would meet the next decade). Its reading, 0.1 at epoch 31, is e = 30.
    Corrected, for 36 epochs: range-test {start: 1.0e-7, end: 1.584893, by: epoch}, 10^(1/5) each time.

    >>> published_range_test(np.array([[0.0], [31.0]]), 36.0).round(9).tolist()
    [[1e-07], [0.26]]
    """
    return 10.0 ** np.floor(t / 5.0) * 1e-7 * (1.0 + 1.6 * np.mod(t, 5.0))


def published_one_cycle(t: Array, total: float) -> Array:
    """0.1/18 (e+1) for 18 epochs, 0.5 (0.1 - 0.005) (1.2 + cos(3.14 (e-18)/18)) to 36, then the tail.

    The tail: 0.01 * 0.5^((1+e)/4).

    Faults: it forgets to subtract 36 from e and drops to 1.6e-5 at once, where 0.01 to 0.005 was meant;
    1.2 for 1 stands in for the `min_lr` 0.005 not added back, and lifts the top to 0.1045, above the peak;
    3.14 for pi.
    Corrected, for 40 epochs: one-cycle {up: 0.45, down: 0.45, tail: 0.1, start_division: 10,
    final_division: 20}.

    >>> published_one_cycle(np.array([[0.0], [18.0], [36.0]]), 40.0).round(5).tolist()
    [[0.05556], [1.045], [0.00016]]
    """
    up = (t + 1.0) / 18.0
    down = 0.5 * (1.0 - 0.05) * (1.2 + np.cos(3.14 * (t - 18.0) / 18.0))
    tail = 0.1 * np.power(0.5, (1.0 + t) / 4.0)
    return np.where(t < 18, up, np.where(t < 36, down, tail))


ROWS: dict[str, Shape] = {
    "published-power": Shape(published_power, uses_total=True, by="epoch"),
    "published-linear": Shape(published_linear, uses_total=False, by="epoch"),
    "published-exponential": Shape(published_exponential, uses_total=True, by="epoch"),
    "published-cosine": Shape(published_cosine, uses_total=True, by="epoch"),
    "published-sgdr": Shape(published_sgdr, uses_total=False, by="epoch"),
    "published-range-test": Shape(published_range_test, uses_total=False, absolute=True, by="epoch"),
    "published-one-cycle": Shape(published_one_cycle, uses_total=False, by="epoch"),
}
