"""Every row of the table of optimizers: it says what Keras says, trains, and goes on exactly."""

import inspect
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from experiments import backends, optimizers, vgg
from experiments.checks import InputError, settings_of
from experiments.optimizer_classes import CLASSES, common
from tests.tiny import job, rates, same, trainer

EVERY = sorted(CLASSES)

# At its default Adafactor divides 0 by 0 where two neighbouring channels are dead, as some here are.
SETTINGS = {"Adafactor": {"epsilon_1": 1e-12}}


def recipe(name: str) -> dict[str, Any]:
    """A sweep file's optimizer of class `name` that can train this narrow network."""
    return {"class": name, **SETTINGS.get(name, {})}


@pytest.fixture(scope="module", autouse=True)
def keras() -> None:
    """Keras on a backend with one thread."""
    backends.start(1)


def test_the_table_has_every_class_of_keras() -> None:
    from keras import optimizers as installed

    classes = {
        name
        for name, value in vars(installed).items()
        if inspect.isclass(value) and issubclass(value, installed.Optimizer)
    }
    assert classes == set(CLASSES) | set(optimizers.NO_CHOICE)


@pytest.mark.parametrize("name", EVERY)
def test_settings_and_defaults_are_keras_own(name: str) -> None:
    from keras import optimizers as installed

    parameters = inspect.signature(getattr(installed, name).__init__).parameters
    theirs = {n: p.default for n, p in parameters.items() if n not in ("self", "name", "kwargs")}
    ours = {**settings_of(common), **settings_of(CLASSES[name])}
    assert {n: p.default for n, p in ours.items()} == theirs


@pytest.mark.parametrize("name", EVERY)
def test_what_is_built_has_the_settings(name: str) -> None:
    checked = optimizers.check("o", {"class": name, "learning_rate": 0.125, "clipnorm": 2.0})
    config = optimizers.build(checked).get_config()
    assert config["learning_rate"] == 0.125
    assert config["clipnorm"] == 2.0
    # Keras turns Muon's None into an empty list.
    config["exclude_layers"] = config.get("exclude_layers") or None
    assert {n: config[n] for n in checked.settings} == dict(checked.settings)


@pytest.mark.parametrize("name", EVERY)
def test_it_starts_as_keras_builds_it_on_the_fresh_weights(name: str) -> None:
    # A seed of its own: the network still has the weights of the test before.
    made = job(recipe(name), seed=5 + EVERY.index(name))
    trainer().reset(made)
    fresh = trainer().state()
    network = vgg.build(made.model, (32, 32, 3), 2)
    for variable in network.weights:
        variable.assign(fresh[f"model/{variable.path}"])
    optimizer = optimizers.build(made.optimizer)
    optimizer.build(network.trainable_variables)
    theirs = [v.numpy() for v in optimizer.variables if v is not optimizer.learning_rate]
    ours = [value for key, value in fresh.items() if key.startswith("optimizer/")]
    assert [value.tobytes() for value in ours] == [value.tobytes() for value in theirs]


@pytest.mark.parametrize("name", EVERY)
def test_it_trains_and_goes_on_exactly(name: str) -> None:
    warm, made = trainer(), job(recipe(name))
    other = replace(made, seed=1)
    rate = made.optimizer.learning_rate
    warm.reset(made)
    fresh = warm.state()
    metrics = [warm.epoch(0, rates(rate))]
    after_one = warm.state()
    metrics.append(warm.epoch(1, rates(rate)))
    after_two = warm.state()

    assert all(math.isfinite(value) for epoch in metrics for value in epoch.values())
    kernels = [n for n in fresh if n.startswith("model/") and n.endswith("kernel")]
    assert all(np.isfinite(after_two[n]).all() for n in after_two)
    assert all(not np.array_equal(fresh[n], after_one[n]) for n in kernels)
    assert next(v for n, v in after_two.items() if n.endswith("/iteration")) == 2 * warm.steps

    warm.reset(other)
    warm.epoch(0, rates(rate))
    warm.reset(made)
    assert same(warm.state(), fresh)
    assert warm.epoch(0, rates(rate)) == metrics[0]
    assert same(warm.state(), after_one)

    warm.reset(other)
    warm.epoch(0, rates(rate))
    warm.reset(made)
    warm.restore(after_one)
    assert warm.epoch(1, rates(rate)) == metrics[1]
    assert same(warm.state(), after_two)

    zero = np.zeros(warm.steps, np.float32)
    warm.reset(made)
    warm.epoch(0, zero)
    if all(np.isfinite(value).all() for value in warm.state().values()):
        optimizers.require("o", made.optimizer, zero)
    else:
        with pytest.raises(InputError, match="above 0"):
            optimizers.require("o", made.optimizer, zero)
