"""From the settings in a sweep file to the table of learning rates."""

import doctest
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from experiments import schedules
from experiments.callbacks import Plateau
from experiments.schedules.schedule import Schedule, Warmup, check, require, table
from experiments.settings import InputError


def test_examples() -> None:
    assert doctest.testmod(schedules).failed == 0


def test_label_is_the_shape_unless_name_says_otherwise() -> None:
    assert check("s", "linear", {"final": 0.5}) == Schedule("linear", {"final": 0.5})
    assert check("s", "slow", {"name": "linear"}) == Schedule("linear", {"final": 0.0})


def test_common_keys() -> None:
    given = {"peak": "1e-2", "by": "epoch", "warmup": {"epochs": 3}}
    expected = Schedule("constant", {}, peak=0.01, by="epoch", warmup=Warmup(epochs=3.0, start=0.0))
    assert check("s", "constant", given) == expected


def test_plateau_carries_its_rule() -> None:
    schedule = check("s", "plateau", {"monitor": "val_accuracy", "factor": 0.15, "patience": 3})
    assert schedule.plateau == Plateau(monitor="val_accuracy", factor=0.15, patience=3)
    assert table(schedule, 0.1, 4, 3).tobytes() == table(check("s", "constant", {}), 0.1, 4, 3).tobytes()
    assert check("s", "constant", {}).plateau is None


def test_a_schedule_is_a_value() -> None:
    schedule = check("s", "piecewise", {"boundaries": [2], "values": [1, 0.1], "warmup": {"epochs": 1}})
    again = check("s", "piecewise", {"boundaries": [2.0], "values": [1.0, 0.1], "warmup": {"epochs": 1.0}})
    assert schedule == again
    assert hash(schedule) == hash(again)
    assert pickle.loads(pickle.dumps(schedule)) == schedule


def test_peak_is_the_optimizers_rate_unless_given() -> None:
    rates = table(check("s", "linear", {}), 0.2, 2, 1)
    np.testing.assert_allclose(rates, [[0.2], [0.1]], rtol=1e-7)
    assert rates.dtype == np.float32
    np.testing.assert_allclose(table(check("s", "linear", {"peak": 0.4}), 0.2, 2, 1), [[0.4], [0.2]], rtol=1e-7)


def test_learning_rates_themselves_have_no_peak() -> None:
    rates = table(check("s", "range-test", {"start": 0.01, "end": 1}), 123.0, 2, 1)
    np.testing.assert_allclose(rates, [[0.01], [0.1]], rtol=1e-7)
    with pytest.raises(InputError, match=r"^s\.peak: range-test gives learning rates itself and has no peak"):
        check("s", "range-test", {"peak": 0.1})


def test_by_epoch_holds_the_rate_of_the_first_step() -> None:
    rates = table(check("s", "linear", {"by": "epoch"}), 1.0, 4, 2)
    np.testing.assert_allclose(rates, [[1.0, 1.0], [0.75, 0.75], [0.5, 0.5], [0.25, 0.25]], rtol=1e-7)


def test_warm_up_and_then_the_shape_in_what_is_left() -> None:
    given = {"warmup": {"epochs": 2, "start": 0.2}}
    rates = table(check("s", "linear", given), 0.5, 4, 2)
    expected = [[0.1, 0.2], [0.3, 0.4], [0.5, 0.375], [0.25, 0.125]]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_warm_up_of_a_part_of_an_epoch() -> None:
    rates = table(check("s", "linear", {"warmup": {"epochs": 0.5}}), 1.0, 2, 4)
    np.testing.assert_allclose(rates, [[0, 0.5, 1, 0.8333333], [0.6666667, 0.5, 0.3333333, 0.1666667]], rtol=2e-7)


def test_warm_up_in_front_of_learning_rates_ends_at_the_first_of_them() -> None:
    given = {"start": 0.01, "end": 1, "warmup": {"epochs": 2}}
    rates = table(check("s", "range-test", given), 1.0, 4, 1)
    np.testing.assert_allclose(rates[:, 0], [0, 0.005, 0.01, 0.1], rtol=1e-6)


def test_warm_up_longer_than_the_run_is_its_beginning() -> None:
    """A table may be asked for fewer epochs than `require` would let run."""
    schedule = check("s", "cosine", {"warmup": {"epochs": 4}})
    np.testing.assert_allclose(table(schedule, 1.0, 2, 2), [[0, 0.125], [0.25, 0.375]], rtol=1e-7)
    with np.errstate(all="raise"):
        assert table(schedule, 1.0, 4, 1).tolist() == [[0], [0.25], [0.5], [0.75]]


def test_one_warm_up_with_four_tails_is_one_beginning() -> None:
    warmup = {"epochs": 3}
    tails = [
        table(check("s", shape, {"warmup": warmup}), 0.1, epochs, 11)[:3].tobytes()
        for shape, epochs in (("constant", 10), ("cosine", 10), ("linear", 20), ("sgdr", 15))
    ]
    assert set(tails) == {tails[0]}


def test_vaswani_is_inverse_square_root_behind_a_warm_up() -> None:
    """sqrt(w/T) with w = 2 epochs and T from the very beginning."""
    schedule = check("s", "inverse-square-root", {"timescale": 2, "warmup": {"epochs": 2}})
    expected = [0, 0.5, 1, 0.8164966, 0.7071068, 0.6324555, 0.5773503, 0.5345225, 0.5]
    np.testing.assert_allclose(table(schedule, 1.0, 9, 1)[:, 0], expected, rtol=2e-7)


def test_decay_counts_steps_from_the_very_first() -> None:
    """Keras 2: rate / (1 + decay * iterations), whatever the shape and also inside an epoch."""
    expected = [[0.1, 0.08], [0.06666667, 0.05714286], [0.05, 0.04444444]]
    for by in ("step", "epoch"):
        rates = table(check("s", "constant", {"by": by}), 0.1, 3, 2, decay=0.25)
        np.testing.assert_allclose(rates, expected, rtol=2e-7)


def test_rounded_once() -> None:
    """0.1 * 0.01 in float32 all along would be 0.0009999999."""
    rates = table(check("s", "step", {"every": 1, "factor": 0.01}), 0.1, 2, 1)
    assert rates[1, 0] == np.float32(0.001)


@pytest.mark.parametrize(
    ("label", "given", "message"),
    [
        ("cosin", {}, r"^s: unknown schedule 'cosin'; did you mean 'cosine'\?$"),
        (
            "mine",
            {"name": "one_cycle"},
            r"^s\.name: unknown schedule 'one_cycle'; did you mean 'one-cycle'\?$",
        ),
        ("Cosine", {}, r"did you mean 'cosine'\?$"),
        ("cosine", {"warmpu": {}}, r"^s\.warmpu: unknown setting 'warmpu'; did you mean 'warmup'\?$"),
        ("cosine", {"warmup": 3}, r"^s\.warmup: expected settings such as \{epochs: 3\}, got 3$"),
        ("cosine", {"warmup": {"start": 0.1}}, r"^s\.warmup: setting 'epochs' is missing$"),
        ("cosine", {"warmup": {"epochs": 0}}, r"^s\.warmup\.epochs: expected a number above 0, got 0\.0$"),
        (
            "cosine",
            {"warmup": {"epochs": 3, "start": 2}},
            r"^s\.warmup\.start: expected a number from 0 to 1",
        ),
        ("cosine", {"warmup": {"epoch": 3}}, r"^s\.warmup\.epoch: .* did you mean 'epochs'\?$"),
        ("cosine", {"by": "batch"}, r"^s\.by: input should be 'step' or 'epoch', got 'batch'$"),
        ("cosine", {"peak": 0}, r"^s\.peak: expected a number above 0, got 0\.0$"),
        ("cosine", {"peak": True}, r"^s\.peak: expected a number, got True$"),
        ("cosine", None, r"^s: expected a mapping of settings, got nothing$"),
        ("published-cosine", {"by": "step"}, r"^s\.by: published-cosine only goes by epoch, got 'step'$"),
    ],
)
def test_what_cannot_be(label: str, given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check("s", label, given)


@pytest.mark.parametrize(
    ("label", "given", "epochs", "message"),
    [
        ("cosine", {"warmup": {"epochs": 5}}, 5, r"^s\.warmup: the warm-up takes 5 epochs and the run has 5"),
        (
            "piecewise",
            {"boundaries": [2, 5], "values": [1, 0.1, 0.01]},
            5,
            r"^s\.boundaries: the last one is at epoch 5 and the schedule has 5 epochs",
        ),
        (
            "piecewise",
            {"boundaries": [4], "values": [1, 0.1], "warmup": {"epochs": 2}},
            6,
            r"^s\.boundaries: the last one is at epoch 4 and the schedule has 4 epochs",
        ),
        (
            "warm-up-stable-decay",
            {"warmup_epochs": 4, "decay_fraction": 0.5},
            6,
            r"^s\.warmup_epochs: the warm-up takes 4 epochs and the decay begins after 3;",
        ),
        ("linear", {"by": "epoch", "warmup": {"epochs": 2}}, 5, r"^s: it goes by epoch and begins at 0"),
        ("warm-up-stable-decay", {"by": "epoch"}, 10, r"^s: it goes by epoch and begins at 0"),
    ],
)
def test_epochs_it_does_not_have(label: str, given: dict[str, Any], epochs: int, message: str) -> None:
    schedule = check("s", label, given)
    with pytest.raises(InputError, match=message):
        require("s", schedule, epochs)


@pytest.mark.parametrize(
    ("label", "given", "epochs"),
    [
        ("cosine", {"warmup": {"epochs": 4}}, 5),
        ("piecewise", {"boundaries": [4], "values": [1, 0.1]}, 5),
        ("linear", {"by": "epoch", "warmup": {"epochs": 2, "start": 0.1}}, 5),
        ("step", {"every": 12}, 3),
        ("sgdr", {"period": 10}, 3),
    ],
)
def test_epochs_it_has(label: str, given: dict[str, Any], epochs: int) -> None:
    require("s", check("s", label, given), epochs)


def test_rates_beyond_float32_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"^published-range-test: expected learning rates .* finite, got 4\.2e\+38$"
    ):
        table(check("s", "published-range-test", {}), 1.0, 240, 1)


def test_planning_imports_nothing_heavy() -> None:
    heavy = "{'keras', 'tensorflow', 'jax', 'ray', 'sklearn', 'scipy', 'pyarrow'}"
    code = f"import sys, experiments.schedules; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
