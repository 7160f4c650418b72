"""The rules that react, side by side with Keras's own callbacks over histories at random."""

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.callbacks import METRICS, EarlyStopping, Plateau
from experiments.training import backends

HEAVY = int(os.environ.get("GENERATED_CASES", "20000"))
EPOCHS = 14

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def model() -> Any:
    """A compiled model of one weight, trained one step so that Keras knows its metrics."""
    backends.start(1)
    import keras

    made = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    made.compile(keras.optimizers.SGD(0.1), loss="mse", metrics=["accuracy"])
    made.train_on_batch(np.ones((1, 1)), np.ones((1, 1)))
    return made


@st.composite
def metrics(draw: st.DrawFn, min_delta: float, number: st.SearchStrategy[float]) -> list[float]:
    """What epochs may measure: float32 in a Python float, with many ties, and many steps of about `min_delta`."""
    values: list[float] = []
    for _ in range(draw(st.integers(1, EPOCHS))):
        kind = draw(st.integers(0, 9))
        if kind == 0:
            values.append(math.nan)
        elif kind <= 2 or not values:
            values.append(draw(number))
        else:
            before = np.float32(draw(st.sampled_from(values)) + draw(st.integers(-2, 2)) * min_delta)
            for _ in range(draw(st.integers(0, 2)) * bool(np.isfinite(before))):
                before = np.nextafter(before, np.float32(draw(st.sampled_from([-math.inf, math.inf]))))
            # TensorFlow takes the numbers nearest to 0 for 0.
            values.append(0.0 if abs(before) < np.finfo(np.float32).tiny else float(before))
    return values


MIN_DELTAS = st.sampled_from([0.0, 1e-4, 1e-3, 0.02, 0.5, 1e-8]) | st.floats(0, 10)
# Further out Keras raises an error where a margin leaves float32.
NUMBERS = st.sampled_from([0.0, 0.25, 0.5, 0.501, 1.0, 2.3026, math.inf, -math.inf]) | st.floats(
    -(2.0**100), 2.0**100, width=32, allow_subnormal=False
)
COUNTS = st.integers(0, 5)


def not_first(values: list[float], watched_from: int) -> list[float]:
    """`values` with a number in the first epoch that is watched: Keras would take NaN there for the best value."""
    return [0.5 if n == watched_from and math.isnan(value) else value for n, value in enumerate(values)]


def watched(callback: Any, model: Any, values: list[float], after: Callable[[int], None]) -> None:
    """Let Keras's `callback` see an epoch with each of `values`, and call `after` with its number."""
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {callback.monitor: value})
        after(epoch)


def hold_plateau(model: Any, draw: st.DataObject) -> None:
    """The same rate after every epoch, to the bit."""
    import keras

    least, min_delta = draw.draw(st.sampled_from([0.0, 1e-3, 0.03, 0.1, 0.2])), draw.draw(MIN_DELTAS)
    common = {
        "monitor": draw.draw(st.sampled_from(METRICS)),
        "factor": draw.draw(st.sampled_from([0.1, 0.5, 0.7]) | st.floats(0.01, 0.99)),
        "patience": draw.draw(COUNTS),
        "cooldown": draw.draw(COUNTS),
        "min_delta": min_delta,
    }
    rule = Plateau(**common, min_learning_rate=least)
    row = np.full(1, draw.draw(st.sampled_from([0.1, 1.0, 3e-4])), np.float32)
    values = not_first(draw.draw(metrics(min_delta, NUMBERS)), 0)
    history = [{rule.monitor: value} for value in values]
    model.optimizer.learning_rate = float(row[0])

    def same(epoch: int) -> None:
        ours, theirs = rule.apply(row, history[: epoch + 1]), model.optimizer.learning_rate.numpy()
        assert ours.tobytes() == np.float32(theirs).tobytes(), (rule, row, values[: epoch + 1], theirs)

    watched(keras.callbacks.ReduceLROnPlateau(**common, min_lr=least), model, values, same)


def hold_early_stopping(model: Any, draw: st.DataObject) -> None:
    """Stopped by the same epoch."""
    import keras

    min_delta = draw.draw(MIN_DELTAS)
    common = {
        "monitor": draw.draw(st.sampled_from(METRICS)),
        "patience": draw.draw(COUNTS),
        "start_from_epoch": draw.draw(COUNTS),
        "min_delta": min_delta,
    }
    rule = EarlyStopping(**common)
    values = not_first(draw.draw(metrics(min_delta, NUMBERS)), rule.start_from_epoch)
    history = [{rule.monitor: value} for value in values]
    model.stop_training = False

    def same(epoch: int) -> None:
        assert rule.stops(history[: epoch + 1]) is model.stop_training, (rule, values[: epoch + 1])

    watched(keras.callbacks.EarlyStopping(**common), model, values, same)


few = settings(max_examples=700, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(max_examples=HEAVY, deadline=None, suppress_health_check=list(HealthCheck))


@few
@given(draw=st.data())
def test_plateau_reduces_as_keras_does(model: Any, draw: st.DataObject) -> None:
    hold_plateau(model, draw)


@few
@given(draw=st.data())
def test_early_stopping_stops_as_keras_does(model: Any, draw: st.DataObject) -> None:
    hold_early_stopping(model, draw)


@pytest.mark.heavy
@many
@given(draw=st.data())
def test_plateau_reduces_as_keras_does_at_length(model: Any, draw: st.DataObject) -> None:
    hold_plateau(model, draw)


@pytest.mark.heavy
@many
@given(draw=st.data())
def test_early_stopping_stops_as_keras_does_at_length(model: Any, draw: st.DataObject) -> None:
    hold_early_stopping(model, draw)
