"""When plateau and early stopping act: worked out by hand, and side by side with Keras's own callbacks."""

import doctest
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from experiments import callbacks
from experiments.callbacks import (
    EarlyStopping,
    Plateau,
    best_epoch,
    check_early_stopping,
    check_plateau,
    direction,
)
from experiments.settings import InputError
from experiments.training import backends

NAN = float("nan")
History = list[dict[str, float]]


def _history(monitor: str, values: Sequence[float]) -> History:
    return [{monitor: value} for value in values]


def test_examples() -> None:
    assert doctest.testmod(callbacks).failed == 0


# settings besides monitor loss and min_delta 0, losses by epoch, epochs at whose end it fires
FIRINGS: list[tuple[dict[str, Any], list[float], tuple[int, ...]]] = [
    ({"patience": 2}, [], ()),
    ({"patience": 2}, [5, 4, 3, 2, 1], ()),
    ({"patience": 2}, [5, 5, 5], (2,)),
    ({"patience": 2}, [5, 6, 4, 4, 4, 4, 4], (4, 6)),
    ({"patience": 0}, [5, 5, 5], (1, 2)),
    ({"patience": 1}, [5, 5, 5], (1, 2)),
    ({"patience": 1, "cooldown": 2}, [5, 5, 5, 5, 5, 5, 5], (1, 3, 5)),
    ({"patience": 2, "cooldown": 2}, [5] * 9, (2, 5, 8)),
    ({"patience": 2, "cooldown": 1}, [5, 5, 5, 4, 4, 4, 4], (2, 5)),
    ({"patience": 1, "min_delta": 0.5}, [5, 4.5, 4.5, 3.5], (1, 2)),
    ({"patience": 2}, [NAN, 5, 5, 4, NAN, NAN, NAN], (5,)),
]


@pytest.mark.parametrize(("settings", "losses", "expected"), FIRINGS)
def test_plateau_fires(settings: dict[str, Any], losses: list[float], expected: tuple[int, ...]) -> None:
    rule = Plateau(**{"monitor": "loss", "min_delta": 0.0, **settings})
    history = _history("loss", losses)
    assert rule.firings(history) == expected
    for known in range(len(history)):
        assert rule.firings(history[:known]) == tuple(epoch for epoch in expected if epoch < known)


def test_more_accuracy_is_better() -> None:
    rule = Plateau(monitor="val_accuracy", patience=1, min_delta=0.0)
    assert rule.firings(_history("val_accuracy", [0.5, 0.6, 0.55, 0.7])) == (2,)


def test_improvements_are_compared_in_float32_as_keras_does() -> None:
    """0.50100001 - 0.001 is above 0.5 in float64, but not in float32."""
    rule = Plateau(monitor="accuracy", patience=1, min_delta=0.001)
    assert rule.firings(_history("accuracy", [0.5, 0.50100001])) == (1,)
    assert rule.firings(_history("accuracy", [0.5, 0.50100005])) == ()


def test_nothing_fired_leaves_the_row_itself() -> None:
    row = np.array([0.1, 0.2, 0.3], np.float32)
    assert Plateau(patience=2).apply(row, _history("val_loss", [2, 1, 1])) is row


def test_apply_scales_the_row_once_for_each_firing() -> None:
    rule = Plateau(monitor="loss", factor=0.5, patience=1)
    row = np.array([0.8, 0.4, 0.0], np.float32)
    scaled = rule.apply(row, _history("loss", [1, 1, 1]))
    assert scaled.dtype == np.float32
    assert scaled.tobytes() == np.array([0.2, 0.1, 0.0], np.float32).tobytes()
    assert row.tolist() == np.array([0.8, 0.4, 0.0], np.float32).tolist()


def test_each_reduction_is_rounded_as_by_the_variable_of_keras() -> None:
    """0.1 twice by 0.7: rounding only at the end would give the float32 above, 0.049000002443790436."""
    rule = Plateau(monitor="loss", factor=0.7, patience=1)
    scaled = rule.apply(np.array([0.1], np.float32), _history("loss", [1, 1, 1]))
    assert float(scaled[0]) == 0.04899999871850014


def test_no_rate_is_brought_below_the_least_or_raised_to_it() -> None:
    rule = Plateau(monitor="loss", factor=0.1, patience=1, min_learning_rate=0.03)
    row = np.array([1.0, 0.1, 0.03, 0.01, 0.0], np.float32)
    once = rule.apply(row, _history("loss", [1, 1]))
    np.testing.assert_array_equal(once, np.array([0.1, 0.03, 0.03, 0.01, 0.0], np.float32))
    twice = rule.apply(row, _history("loss", [1, 1, 1]))
    np.testing.assert_array_equal(twice, np.array([0.03, 0.03, 0.03, 0.01, 0.0], np.float32))


# settings besides monitor loss, losses by epoch, the last epoch
STOPS: list[tuple[dict[str, Any], list[float], int | None]] = [
    ({}, [], None),
    ({}, [5, 4, 3], None),
    ({}, [5, 5, 4], 1),
    ({"patience": 1}, [5, 5, 4], 1),
    ({"patience": 2}, [5, 6, 5, 4], 2),
    ({"patience": 2}, [5, 6, 4, 4, 3], None),
    ({"patience": 1, "min_delta": 0.5}, [5, 4.5, 4], 1),
    ({"patience": 1, "start_from_epoch": 3}, [1, 2, 3, 9, 8, 8], 5),
    ({"patience": 0}, [NAN, NAN, 1], 1),
    ({"patience": 2}, [5, NAN, 4, NAN, NAN], 4),
]


@pytest.mark.parametrize(("settings", "losses", "expected"), STOPS)
def test_early_stopping_ends(settings: dict[str, Any], losses: list[float], expected: int | None) -> None:
    rule = EarlyStopping(monitor="loss", **settings)
    history = _history("loss", losses)
    assert rule.last_epoch(history) == expected
    for known in range(len(history) + 1):
        assert rule.stops(history[:known]) is (expected is not None and known > expected)


@pytest.mark.parametrize(
    ("monitor", "values", "expected"),
    [
        ("val_loss", [], None),
        ("val_loss", [NAN, NAN], None),
        ("val_loss", [3, 1, 1, 2], 1),
        ("val_loss", [NAN, 3, 2], 2),
        ("val_accuracy", [0.5, 0.9, 0.9, 0.1], 1),
        ("val_accuracy", [0.5, NAN], 0),
    ],
)
def test_best_epoch(monitor: str, values: list[float], expected: int | None) -> None:
    assert best_epoch(_history(monitor, values), monitor) == expected


def test_an_epoch_that_diverged_is_not_the_best_by_what_is_left_of_it() -> None:
    history = [{"accuracy": 0.5, "val_loss": 2.0}, {"accuracy": 0.9, "val_loss": NAN}]
    assert best_epoch(history, "accuracy") == 0
    assert best_epoch(history[1:], "accuracy") is None
    assert best_epoch(_history("loss", [float("inf"), 3]), "loss") == 1


def test_direction() -> None:
    directions = [direction(name) for name in ("loss", "val_loss", "accuracy", "val_accuracy")]
    assert directions == ["min", "min", "max", "max"]
    with pytest.raises(InputError, match=r"unknown metric 'val_acc'; did you mean 'val_accuracy'\?$"):
        direction("val_acc")


def test_checked_settings() -> None:
    given = {"monitor": "val_accuracy", "factor": 0.15, "patience": 3}
    assert check_plateau("s", given) == Plateau(monitor="val_accuracy", factor=0.15, patience=3)
    given = {"monitor": "val_accuracy", "min_delta": 0.001, "patience": 5}
    assert check_early_stopping("e", given) == EarlyStopping(monitor="val_accuracy", min_delta=0.001, patience=5)


@pytest.mark.parametrize(
    ("check", "given", "message"),
    [
        (
            check_plateau,
            {"patient": 3},
            r"^x\.patient: unknown setting 'patient'; did you mean 'patience'\?$",
        ),
        (check_plateau, {"factor": 1}, r"^x\.factor: expected a number above 0 and below 1, got 1\.0$"),
        (check_plateau, {"patience": -1}, r"^x\.patience: expected 0 or more, got -1$"),
        (check_plateau, {"patience": 1.5}, r"^x\.patience: .*integer.*, got 1\.5$"),
        (check_plateau, {"min_learning_rate": -1}, r"^x\.min_learning_rate: expected 0 or more"),
        (check_early_stopping, {"monitor": "val_acc"}, r"^x\.monitor: .*did you mean 'val_accuracy'\?$"),
        (check_early_stopping, {"min_delta": -0.1}, r"^x\.min_delta: expected 0 or more, got -0\.1$"),
        (check_early_stopping, {"start_from_epoch": -1}, r"^x\.start_from_epoch: expected 0 or more"),
    ],
)
def test_settings_that_cannot_be(check: Callable[..., Any], given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check("x", given)


@pytest.fixture(scope="module")
def model() -> Any:
    """A compiled model of one weight, trained one step so that Keras knows its metrics."""
    backends.start(1)
    import keras

    made = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    made.compile(keras.optimizers.SGD(0.1), loss="mse", metrics=["accuracy"])
    made.train_on_batch(np.ones((1, 1)), np.ones((1, 1)))
    return made


def _random_histories(monitor: str, count: int) -> list[History]:
    """Metrics as a trainer gives them, float32 in a Python float, on so coarse a grid that many are equal."""
    random = np.random.default_rng(7)
    shape = (count, 25)
    values = np.round(random.normal(0.5, 0.05, shape) + np.linspace(0, 0.1, shape[1]), 2).astype(np.float32)
    return [_history(monitor, row) for row in values.tolist()]


# Keras reads its own variables in a way that NumPy 2 warns about.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_side_by_side_with_keras(model: Any) -> None:
    """The same learning rate in every epoch, to the bit, and the same last epoch."""
    import keras

    fired = stopped = 0
    for monitor in ("val_loss", "val_accuracy"):
        for n, history in enumerate(_random_histories(monitor, 12)):
            common: dict[str, Any] = {"monitor": monitor, "min_delta": (0.0, 0.02, 1e-4)[n % 3]}
            settings: dict[str, Any] = {"factor": 0.7, "patience": n % 4, "cooldown": n // 4}
            least = (0.0, 0.03)[n % 2]
            theirs = keras.callbacks.ReduceLROnPlateau(**common, **settings, min_lr=least)
            ours = Plateau(**common, **settings, min_learning_rate=least)
            start: dict[str, Any] = {"patience": 4 * (n % 5), "start_from_epoch": n // 3}
            their_stop = keras.callbacks.EarlyStopping(**common, **start)
            our_stop = EarlyStopping(**common, **start)
            model.optimizer.learning_rate = 0.1
            model.stop_training = False
            for callback in (theirs, their_stop):
                callback.set_model(model)
                callback.on_train_begin()
            row = np.full(2, 0.1, np.float32)
            for epoch, metrics in enumerate(history):
                theirs.on_epoch_end(epoch, dict(metrics))
                their_stop.on_epoch_end(epoch, dict(metrics))
                rate = np.float32(model.optimizer.learning_rate.numpy())
                assert (ours.apply(row, history[: epoch + 1]) == rate).all()
                assert our_stop.stops(history[: epoch + 1]) is model.stop_training
            fired += len(ours.firings(history))
            stopped += our_stop.stops(history)
    assert fired > 50
    assert 5 < stopped < 24
