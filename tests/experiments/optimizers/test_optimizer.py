"""Checking optimizers, without Keras."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from experiments import optimizers
from experiments.settings import InputError


def test_defaults_are_filled_in_and_numbers_converted() -> None:
    checked = optimizers.check("o", {"class": "SGD", "learning_rate": 1, "momentum": "0.9", "decay": 1e-6})
    assert checked.class_name == "SGD"
    assert (checked.learning_rate, checked.decay) == (1.0, 1e-6)
    assert checked.settings["momentum"] == 0.9
    assert checked.settings["nesterov"] is False
    assert checked.settings["clipnorm"] is None
    assert not {"class", "learning_rate", "decay"} & checked.settings.keys()


def test_the_default_learning_rate_is_the_class_own() -> None:
    assert optimizers.check("o", {"class": "SGD"}).learning_rate == 0.01
    assert optimizers.check("o", {"class": "Adam"}).learning_rate == 0.001
    assert optimizers.check("o", {"class": "ScheduleFreeAdamW"}).learning_rate == 0.0025


def test_a_class_own_default_beats_the_common_one() -> None:
    assert optimizers.check("o", {"class": "AdamW"}).settings["weight_decay"] == 0.004
    assert optimizers.check("o", {"class": "Adam"}).settings["weight_decay"] is None


def test_what_is_given_is_not_changed() -> None:
    given = {"class": "Adam", "decay": 0.1}
    optimizers.check("o", given)
    assert given == {"class": "Adam", "decay": 0.1}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "o: setting 'class' is missing; expected one of: Adadelta, "),
        ({"class": "adam"}, "o.class: unknown optimizer class 'adam'; did you mean 'Adam'?"),
        ({"class": ["SGD"]}, "o.class: expected the name of an optimizer class, got"),
        ({"class": "LossScaleOptimizer"}, "o.class: LossScaleOptimizer is not a choice here; set precision"),
        ({"class": "Adam", "beta1": 0.9}, "o.beta1: unknown setting 'beta1'; did you mean 'beta_1'?"),
        ({"class": "SGD", "beta_1": 0.9}, "o.beta_1: unknown setting 'beta_1'"),
        ({"class": "SGD", "name": "x"}, "o.name: unknown setting 'name'"),
        ({"class": "SGD", "learning_rate": "fast"}, "o.learning_rate: "),
        ({"class": "SGD", "learning_rate": True}, "o.learning_rate: expected a number, got True"),
        ({"class": "SGD", "learning_rate": 0}, "o.learning_rate: expected a number above 0, got 0.0"),
        ({"class": "SGD", "learning_rate": float("nan")}, "o.learning_rate: "),
        ({"class": "SGD", "decay": -1e-6}, "o.decay: expected 0 or more"),
        ({"class": "SGD", "momentum": 1.0}, "o.momentum: expected at least 0 and below 1, got 1.0"),
        ({"class": "SGD", "nesterov": True}, "o.nesterov: needs a momentum above 0"),
        (
            {"class": "SGD", "clipnorm": 1, "clipvalue": 1},
            "o: only one way of clipping can be set, got clipnorm and",
        ),
        ({"class": "SGD", "ema_momentum": 0.5}, "o.ema_momentum: changes nothing without use_ema"),
        ({"class": "SGD", "ema_overwrite_frequency": 3}, "o.ema_overwrite_frequency: changes nothing without"),
        ({"class": "SGD", "gradient_accumulation_steps": 1}, "o.gradient_accumulation_steps: expected 2 or more"),
        ({"class": "AdamW", "weight_decay": None}, "o.weight_decay: "),
        ({"class": "Ftrl", "learning_rate_power": 0.5}, "o.learning_rate_power: expected 0 or less"),
        ({"class": "ScheduleFreeAdamW", "beta_1": 0}, "o.beta_1: expected above 0 and below 1"),
        ({"class": "Muon", "exclude_layers": ["("]}, "o.exclude_layers: expected regular expressions"),
    ],
)
def test_mistakes_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        optimizers.check("o", given)
    assert str(caught.value).startswith(message)


def test_settings_that_go_together_pass() -> None:
    given = {"class": "Muon", "exclude_layers": ["logits", "dense[12]"], "use_ema": True, "ema_momentum": 0.9}
    settings = optimizers.check("o", given).settings
    assert settings["exclude_layers"] == ("logits", "dense[12]")
    assert settings["ema_momentum"] == 0.9


def test_only_ftrl_refuses_a_learning_rate_of_zero() -> None:
    table = np.array([[0.0, 0.1], [0.2, 0.3]], np.float32)
    optimizers.require("o", optimizers.check("o", {"class": "Adam"}), table)
    ftrl = optimizers.check("o", {"class": "Ftrl"})
    optimizers.require("o", ftrl, table + np.float32(0.1))
    with pytest.raises(InputError, match=r"Ftrl divides by the learning rate.*got one of 0.0"):
        optimizers.require("o", ftrl, table)


def test_checking_imports_nothing_heavy() -> None:
    code = (
        "import sys; from experiments import optimizers, trainer;"
        "from experiments.models import vgg; from experiments.training import backends;"
        "optimizers.check('o', {'class': 'Adam'}); vgg.check('m', {'name': 'vgg16'});"
        "print({'keras', 'tensorflow', 'jax', 'ray', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
