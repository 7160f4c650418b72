"""The learning-rate range test: raise the rate at every step, watch the loss, read off which rates are useful.

L. N. Smith, "Cyclical Learning Rates for Training Neural Networks" (arXiv:1506.01186, 2015), with the exponential
ramp that has become usual. Everything here is a pure function of rates and losses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from experiments.settings import POSITIVE, InputError, checked, whole

AUTO: Literal["auto"] = "auto"
"""In a sweep file, in the place of a learning rate: what the range test suggests."""

Suggestion = Literal["steepest", "minimum", "valley", "highest"]
SUGGESTIONS: dict[str, str] = {
    "steepest": "where the loss falls fastest",
    "minimum": "a tenth of the rate at which the loss is lowest",
    "valley": "the middle of the longest fall",
    "highest": "the rate at which the loss is lowest: no higher one is useful",
}

EXPLODED = 4.0
"""A loss of so many times the best one ends the test."""
_MEMORY = 0.9
"""Of the running mean that is held against the best one: about ten steps."""
_WIDTH = 1 / 40
"""Standard deviation of the kernel that smooths the curve for reading, in parts of the ramp."""
_CLEAR = 1.5
"""The smoothed loss of 200 steps must fall by so many standard deviations of the noise, that of n steps by
sqrt(200 / n) times as many: pure noise does so once or twice in a hundred tests (simulated)."""


@dataclass(frozen=True, kw_only=True)
class RangeTest:
    """The ramp, from learning rate `start` to `end` in `steps` weight steps, and which suggestion `auto` takes."""

    start: Annotated[float, POSITIVE, "the learning rate of the first step"] = 1e-7
    end: Annotated[float, POSITIVE, "the learning rate of the last step, above `start`"] = 10.0
    # Fewer say nothing; reading a curve takes time as the square of its length.
    steps: Annotated[int, whole(20, 10_000), "weight steps"] = 200
    suggestion: Annotated[
        Suggestion,
        "what `auto` takes. " + "; ".join(f"{name}: {meaning}" for name, meaning in SUGGESTIONS.items()),
    ] = "valley"

    def learning_rates(self) -> NDArray[np.float32]:
        """The rate of each step, float32 [steps], each the same multiple of the one before.

        >>> RangeTest(start=0.01, end=1.0, steps=3).learning_rates().tolist()
        [0.009999999776482582, 0.10000000149011612, 1.0]
        """
        return np.geomspace(self.start, self.end, self.steps).astype(np.float32)


def check(key_path: str, values: Mapping[str, Any]) -> RangeTest:
    """`values`, the settings at `key_path` of a sweep file, as a RangeTest. Raises InputError."""
    settings = checked(key_path, values, RangeTest)
    if settings["end"] <= settings["start"]:
        raise InputError(
            f"{key_path}.end: expected more than start {settings['start']:g}, got {settings['end']:g}"
        )
    return RangeTest(**settings)


def exploded(losses: NDArray[np.float32]) -> int | None:
    """The first step whose running mean loss is above EXPLODED times the lowest so far, or is not finite.

    `losses` float32 [n]; the running mean is exponential, corrected for its beginning.

    >>> exploded(np.array([1, 1, 1, 80, 80], np.float32))
    3
    """
    mean, best = 0.0, np.inf
    for step, loss in enumerate(losses):
        mean = _MEMORY * mean + (1 - _MEMORY) * float(loss)
        corrected = mean / (1 - _MEMORY ** (step + 1))
        if not np.isfinite(loss) or corrected > EXPLODED * best:
            return step
        best = min(best, corrected)
    return None


@dataclass(frozen=True)
class Reading:
    """What a curve says. `smoothed` is float64 [n], without the lag of a running mean.

    `suggestions` are learning rates by the names of SUGGESTIONS, empty where `trouble` says why there are none.
    `lowest` is the rate with the lowest smoothed loss, also where that is no lower than chance.
    """

    smoothed: NDArray[np.float64] = field(repr=False)
    lowest: float
    suggestions: Mapping[str, float]
    trouble: str | None = None


def read(learning_rates: NDArray[np.floating[Any]], losses: NDArray[np.floating[Any]]) -> Reading:
    """Read a range test: `learning_rates` [n], rising, and the loss at each step [n], all finite.

    A test that ended early has fewer losses than rates; the other rates are not looked at.
    """
    from scipy.ndimage import gaussian_filter1d  # late: it takes half a second, and a plan needs none

    n = len(losses)
    rates, raw = np.asarray(learning_rates, np.float64)[:n], np.asarray(losses, np.float64)
    if n < 8:
        return Reading(raw, float("nan"), {}, f"the loss left all bounds after {n} steps; begin lower")
    smoothed = gaussian_filter1d(raw, max(len(learning_rates) * _WIDTH, 0.5), mode="nearest")
    lowest_index = int(np.argmin(smoothed))
    lowest = float(rates[lowest_index])
    trouble = _trouble(raw, smoothed, lowest_index, _CLEAR * (200 / len(learning_rates)) ** 0.5)
    if trouble:
        return Reading(smoothed, lowest, {}, trouble)
    drop = _drop(raw, smoothed, lowest_index)
    slope = np.gradient(smoothed[drop], np.log(rates[drop]))
    falling = _longest_fall(smoothed[drop])
    suggestions = {
        "steepest": float(rates[drop][np.argmin(slope)]),
        "minimum": lowest / 10,
        "valley": float(rates[drop][falling[len(falling) // 2]]),
        "highest": lowest,
    }
    return Reading(smoothed, lowest, suggestions)


def _level(raw: NDArray[np.float64]) -> tuple[int, float]:
    """How many steps count as the beginning, and the mean loss there."""
    beginning = max(len(raw) // 10, 3)
    return beginning, float(np.mean(raw[:beginning]))


def _drop(raw: NDArray[np.float64], smoothed: NDArray[np.float64], lowest_index: int) -> slice:
    """The steps in which the loss falls from 10 % to 90 % of the way, at least two: outside, slopes are noise."""
    level = _level(raw)[1]
    fallen = (level - smoothed[: lowest_index + 1]) / (level - smoothed[lowest_index])
    first = int(np.flatnonzero(fallen <= 0.1)[-1]) if np.any(fallen <= 0.1) else 0
    last = first + int(np.argmax(fallen[first:] >= 0.9))
    return slice(first, max(last, first + 1) + 1)


def _trouble(
    raw: NDArray[np.float64], smoothed: NDArray[np.float64], lowest_index: int, clear: float
) -> str | None:
    """Why the curve has no usable region; None where it has."""
    beginning, level = _level(raw)
    noise = float(np.std(raw[: lowest_index + 1] - smoothed[: lowest_index + 1]))
    fall = level - float(smoothed[lowest_index])
    if lowest_index < beginning:
        return f"the loss is lowest at the very beginning ({level:.3g}) and only rises from there; begin lower"
    if fall <= max(clear * noise, 0.01 * abs(level)):
        return (
            f"the loss never falls clearly: from {level:.3g} to {smoothed[lowest_index]:.3g} at best, with steps "
            f"that scatter by {noise:.2g}; the network does not learn within the test at any rate (try more steps "
            "over a narrower range, a larger batch, or another initializer)"
        )
    return None


def _longest_fall(values: NDArray[np.float64]) -> list[int]:
    """The places of the longest falling subsequence of `values` [n].

    >>> _longest_fall(np.array([5.0, 6.0, 4.0, 4.5, 3.0]))
    [1, 3, 4]
    """
    length, before = np.ones(len(values), np.int64), np.full(len(values), -1)
    for place in range(1, len(values)):
        higher = np.flatnonzero(values[:place] > values[place])
        if len(higher):
            before[place] = higher[len(higher) - 1 - int(np.argmax(length[higher][::-1]))]
            length[place] = length[before[place]] + 1
    place, places = int(np.argmax(length)), []
    while place >= 0:
        places.append(place)
        place = int(before[place])
    return places[::-1]


@dataclass(frozen=True)
class RangeTestCurve:
    """A measured range test with its reading: `learning_rate` and `loss`, float64 [n], one a `unit`."""

    label: str
    unit: str
    learning_rate: NDArray[np.float64]
    loss: NDArray[np.float64]
    reading: Reading
    seconds: float
    suggestion: str
