"""Rules that react to what was measured, as pure functions of the records so far: nothing to save or to lose.

They decide as Keras 3's callbacks do (keras.callbacks.ReduceLROnPlateau and EarlyStopping), to the float32 in
which those compare. Two things differ, on purpose: Plateau scales a row of the table instead of setting one
rate, and NaN is never an improvement (in Keras a NaN in the first epoch becomes the best value, which nothing
beats).

A history is the metrics of epochs 0 .. n-1 in order, each a mapping from metric to number.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from experiments.settings import NOT_NEGATIVE, STRICT_REDUCTION, Choice, InputError, checked

History = Sequence[Mapping[str, float]]

DIRECTIONS: dict[str, Literal["max", "min"]] = {
    "loss": "min",
    "accuracy": "max",
    "val_loss": "min",
    "val_accuracy": "max",
}
METRICS = tuple(DIRECTIONS)
"""What every epoch is measured by."""
TEST_METRICS = ("test_loss", "test_accuracy")
"""What an epoch is measured by as well, where the data has a test set. Nothing is chosen by them."""


class Monitor(Choice):
    """A metric by which something is chosen: one of METRICS."""

    def check(self, key_path: str, value: Any) -> None:
        """Raise InputError for another name, and with the reason for a metric of the test set."""
        if value in TEST_METRICS:
            raise InputError(
                f"{key_path}: nothing is chosen by the test set, so that it can judge the choice; expected one "
                f"of: {', '.join(sorted(self.names))}, got {value!r}"
            )
        super().check(key_path, value)


MONITOR = Monitor("metric", METRICS)


def direction(monitor: str) -> Literal["max", "min"]:
    """Whether more or less of `monitor` is better. Raises InputError for a metric that no epoch has.

    >>> direction("val_accuracy")
    'max'
    """
    MONITOR.check("monitor", monitor)
    return DIRECTIONS[monitor]


def best_epoch(history: History, monitor: str) -> int | None:
    """The first epoch with the best `monitor` among those that did not diverge; None where there is none.

    Raises InputError for an unknown metric.

    >>> best_epoch([{"loss": 2.0}, {"loss": 1.0}, {"loss": 1.0}], "loss")
    1
    """
    known = [
        (epoch[monitor], n)
        for n, epoch in enumerate(history)
        if all(math.isfinite(epoch[metric]) for metric in METRICS if metric in epoch)
    ]
    if direction(monitor) == "max":
        return max(known, key=lambda pair: (pair[0], -pair[1]))[1] if known else None
    return min(known)[1] if known else None


def _improvements(history: History, monitor: str, min_delta: float) -> list[bool]:
    """For each epoch, whether it beat the best one before it by more than `min_delta`."""
    sign = 1.0 if direction(monitor) == "max" else -1.0
    # Keras subtracts in float64 and compares in float32; a margin near min_delta depends on it.
    values = sign * np.array([epoch[monitor] for epoch in history], np.float64)
    with np.errstate(over="ignore"):
        reached = values.astype(np.float32).tolist()
        less_margin = (values - min_delta).astype(np.float32).tolist()
    best: float | None = None
    result = []
    for value, lowered in zip(reached, less_margin, strict=True):
        better = not math.isnan(value) and (best is None or lowered > best)
        best = value if better else best
        result.append(better)
    return result


@dataclass(frozen=True, kw_only=True)
class Plateau:
    """Scale the learning rate by `factor` when `monitor` has not improved for `patience` epochs.

    An improvement is a change of more than `min_delta`; after a reduction nothing is counted for `cooldown`
    epochs; no learning rate is brought below `min_learning_rate`. Defaults are Keras's.
    """

    monitor: Annotated[str, MONITOR, "what is watched"] = "val_loss"
    factor: Annotated[float, STRICT_REDUCTION, "what the learning rate is multiplied by"] = 0.1
    patience: Annotated[int, NOT_NEGATIVE, "epochs without an improvement before it acts"] = 10
    min_delta: Annotated[float, NOT_NEGATIVE, "a smaller change is no improvement"] = 1e-4
    cooldown: Annotated[int, NOT_NEGATIVE, "epochs after a reduction in which nothing is counted"] = 0
    min_learning_rate: Annotated[float, NOT_NEGATIVE, "no rate is brought below it"] = 0.0

    def firings(self, history: History) -> tuple[int, ...]:
        """The epochs at whose end the rule fired; it acts from the next epoch on.

        What it did by the end of an epoch depends on no later one, so one call serves every beginning of a
        history.

        >>> rule = Plateau(monitor="loss", patience=2)
        >>> rule.firings([{"loss": 1.0}, {"loss": 1.0}, {"loss": 1.0}, {"loss": 1.0}, {"loss": 1.0}])
        (2, 4)
        """
        fired = []
        wait = cooling = 0
        for epoch, better in enumerate(_improvements(history, self.monitor, self.min_delta)):
            if cooling > 0:
                cooling -= 1
                wait = 0
            if better:
                wait = 0
            elif cooling == 0:
                wait += 1
                if wait >= self.patience:
                    fired.append(epoch)
                    cooling, wait = self.cooldown, 0
        return tuple(fired)

    def apply(self, row: NDArray[np.float32], history: History) -> NDArray[np.float32]:
        """The learning rates of the epoch after `history`: its `row` of the table [steps], float32, scaled.

        Where nothing has fired this is `row` itself. A rate that the table has at or below
        `min_learning_rate` stays as it is. Each reduction is rounded to float32, as Keras's is by its
        variable.

        >>> rule = Plateau(monitor="loss", factor=0.5, patience=1)
        >>> rule.apply(np.array([0.5, 0.25], np.float32), [{"loss": 1.0}, {"loss": 1.0}]).tolist()
        [0.25, 0.125]
        """
        for _ in self.firings(history):
            lowered = np.maximum(row.astype(np.float64) * self.factor, self.min_learning_rate)
            row = np.where(row > np.float32(self.min_learning_rate), lowered.astype(np.float32), row)
        return row


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """End training when `monitor` has not improved by more than `min_delta` for `patience` epochs.

    Epochs before `start_from_epoch` are not looked at. Defaults are Keras's: with patience 0 the first epoch
    without an improvement is the last one.
    """

    monitor: Annotated[str, MONITOR, "what is watched"] = "val_loss"
    min_delta: Annotated[float, NOT_NEGATIVE, "a smaller change is no improvement"] = 0.0
    patience: Annotated[int, NOT_NEGATIVE, "epochs without an improvement before training ends"] = 0
    start_from_epoch: Annotated[int, NOT_NEGATIVE, "epochs before it are not looked at"] = 0

    def last_epoch(self, history: History) -> int | None:
        """The epoch at whose end training ends, or None where it goes on.

        >>> rule = EarlyStopping(monitor="accuracy", patience=2)
        >>> rule.last_epoch([{"accuracy": 0.5}, {"accuracy": 0.5}, {"accuracy": 0.4}, {"accuracy": 0.9}])
        2
        """
        wait = 0
        watched = history[self.start_from_epoch :]
        improvements = _improvements(watched, self.monitor, self.min_delta)
        for epoch, better in enumerate(improvements, self.start_from_epoch):
            wait = 0 if better else wait + 1
            # Keras never stops after the very first epoch, whatever the patience.
            if not better and wait >= self.patience and epoch > 0:
                return epoch
        return None

    def stops(self, history: History) -> bool:
        """Whether training has ended by the end of `history`."""
        return self.last_epoch(history) is not None


def check_plateau(key_path: str, values: Mapping[str, Any]) -> Plateau:
    """`values` as a Plateau. Raises InputError for an unknown setting or metric, or a value out of bounds."""
    return Plateau(**checked(key_path, values, Plateau))


def check_early_stopping(key_path: str, values: Mapping[str, Any]) -> EarlyStopping:
    """`values` as an EarlyStopping. Raises InputError as check_plateau does."""
    return EarlyStopping(**checked(key_path, values, EarlyStopping))
