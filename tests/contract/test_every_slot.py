"""What is said of each optimizer's slots, against what Keras builds; disk and memory are estimated from it."""

import numpy as np
import pytest

from experiments import optimizers
from experiments.optimizers.classes import CLASSES
from experiments.training import backends
from orchestrator.planning.resource_estimates import slots

MORE = [
    {"class": "SGD", "momentum": 0.9},
    {"class": "RMSprop", "momentum": 0.9, "centered": True},
    {"class": "Adam", "amsgrad": True},
    {"class": "SGD", "use_ema": True},
]


@pytest.mark.parametrize("given", [{"class": name} for name in CLASSES] + MORE, ids=str)
def test_an_optimizer_keeps_as_many_values_for_a_weight_as_is_said(given: dict[str, object]) -> None:
    backends.start(1)
    import keras

    checked = optimizers.check("optimizer", given)
    built = optimizers.build(checked)
    weights = keras.Variable(np.zeros((64, 64), np.float32))
    built.build([weights])
    kept = sum(int(np.prod(v.shape)) for v in built.variables) / (64 * 64)
    assert round(kept) == slots(checked) or (checked.class_name == "Adafactor" and kept <= 1)
