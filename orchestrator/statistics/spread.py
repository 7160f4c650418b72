"""Variances from few seeds, each of which borrows strength from the others.

The variance of three numbers is nearly worthless: its own sampling error is as large as itself. The recipes of a
sweep spread alike, so each variance is drawn towards what is typical of all.
"""

from dataclasses import dataclass

import numpy as np

from orchestrator.statistics.descriptive import Floats

FLOOR = 0.01
"""The smallest variance that counts in the estimate of what is typical, as a share of the median: accuracies are
counts of images, so a few differences agree by chance."""
CERTAIN = 1e6
"""Degrees of freedom that stand for infinitely many."""


@dataclass(frozen=True)
class TypicalVariance:
    """A variance that is typical of many, and the degrees of freedom that it is worth; 0 where nothing is
    typical.
    """

    variance: float
    degrees: float

    def moderate(self, variances: Floats, degrees: Floats) -> tuple[Floats, Floats]:
        """Sample `variances` of `degrees` of freedom drawn towards this one, never lowered, and their new degrees.

        The moderated variance is (d0 s0² + d s²) / (d0 + d), with d0 + d degrees of freedom (Smyth 2004, "Linear
        models and empirical Bayes methods for assessing differential expression in microarray experiments"). Where
        s² is larger it stays: a recipe that truly spreads more would else be taken for a calm one.

        >>> variances, degrees = TypicalVariance(1.0, 2.0).moderate(np.array([0.5, 3.0]), np.array([2.0, 2.0]))
        >>> variances.tolist(), degrees.tolist()
        ([0.75, 3.0], [4.0, 4.0])
        """
        if not self.degrees:
            return variances, degrees
        total = self.degrees + degrees
        return np.maximum((self.degrees * self.variance + degrees * variances) / total, variances), total


def typical_variance(variances: Floats, degrees: Floats, limit: float) -> TypicalVariance:
    """What is typical of sample `variances` with `degrees` of freedom, worth at most `limit` degrees of freedom.

    Both are estimated from the logs of the positive variances by their moments (Smyth 2004, section 6.2): the more
    the logs differ beyond chance, the less the typical variance is worth. Nothing is typical of fewer than two.

    >>> typical_variance(np.array([1.0, 1.1, 0.9, 1.0]), np.full(4, 2.0), 6.0).degrees
    6.0
    """
    from scipy.special import digamma, polygamma

    positive = variances > 0
    variances, degrees = variances[positive], degrees[positive]
    if limit <= 0 or len(variances) < 2:
        return TypicalVariance(0.0, 0.0)
    raised = np.maximum(variances, FLOOR * np.median(variances))
    logs = np.log(raised) - digamma(degrees / 2) + np.log(degrees / 2)
    excess = float(np.var(logs, ddof=1) - np.mean(polygamma(1, degrees / 2)))
    worth = min(2 * _inverse_trigamma(excess), CERTAIN) if excess > 0 else CERTAIN
    variance = float(np.exp(logs.mean() + digamma(worth / 2) - np.log(worth / 2)))
    return TypicalVariance(variance, min(worth, limit))


def _inverse_trigamma(value: float) -> float:
    """The y > 0 with trigamma(y) = `value` > 0, by Newton's method on 1 / trigamma, which is nearly linear.

    >>> round(_inverse_trigamma(1.6449340668482264), 9)
    1.0
    """
    from scipy.special import polygamma

    y = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, y))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, y))
        y += step
        if abs(step) < 1e-10 * y:
            break
    return y
