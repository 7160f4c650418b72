"""Every row of the table of optimizers: it says what Keras says, trains, and goes on exactly."""

import functools
import inspect
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from experiments import datasets, optimizers
from experiments.models import vgg
from experiments.optimizers.classes import CLASSES, MOMENTUM, Common
from experiments.settings import InputError, settings_of
from experiments.training import backends
from orchestrator.planning import plan
from orchestrator.storage.store import Store
from tests.support import any_model
from tests.support.sweeps import small
from tests.support.tiny import job, momenta, rates, same, trainer, weights

EVERY = sorted(CLASSES)
# Of 12 images: jax compiles a program anew for a smaller last batch, which tests of the trainer have.
BATCH = 4

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
    ours = {**settings_of(Common), **settings_of(CLASSES[name])}
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


COMMON: dict[str, dict[str, Any]] = {
    "weight decay": {"weight_decay": 0.25},
    "clipping by norm": {"clipnorm": 0.25},
    "clipping by value": {"clipvalue": 0.25},
    "clipping by the global norm": {"global_clipnorm": 0.25},
    "average": {"use_ema": True},
    "a slower average": {"use_ema": True, "ema_momentum": 0.9375},
    "an average taken over": {"use_ema": True, "ema_overwrite_frequency": 5},
    "scaled loss": {"loss_scale_factor": 8.0},
    "accumulation": {"gradient_accumulation_steps": 4},
}


@pytest.mark.parametrize("name", EVERY)
def test_what_every_class_takes_reaches_keras_and_enters_the_key(name: str, store: Store) -> None:
    assert {key for given in COMMON.values() for key in given} == set(settings_of(Common))
    for given in COMMON.values():
        built = optimizers.build(optimizers.check("o", {"class": name, **given}))
        assert {key: getattr(built, key) for key in given} == given
    every = {f"o{n}": {"class": name, **given} for n, given in enumerate([{}, *COMMON.values()])}
    found = plan.make(small(optimizers=every, schedules={"constant": {}}, seeds=[0]), store)
    assert len({cursor.chain.root for cursor in found.cursors.values()}) == len(every)


@pytest.mark.parametrize("name", EVERY)
def test_it_starts_as_keras_builds_it_on_the_fresh_weights(name: str) -> None:
    # A seed of its own: the network still has the weights of the test before.
    made = job(recipe(name), seed=5 + EVERY.index(name))
    trainer().reset(made)
    fresh = trainer().state()
    network = vgg.build(made.model, (32, 32, 3), 2)
    network.set_weights(weights(fresh))
    optimizer = optimizers.build(made.optimizer)
    optimizer.build(network.trainable_variables)
    theirs = [v.numpy() for v in optimizer.variables if v is not optimizer.learning_rate]
    ours = [value for key, value in fresh.items() if key.startswith("optimizer/")]
    assert [value.tobytes() for value in ours] == [value.tobytes() for value in theirs]


@pytest.mark.parametrize("name", EVERY)
def test_a_scaled_loss_adds_to_its_state_and_takes_nothing_from_it(name: str) -> None:
    def values(precision: str) -> list[str]:
        trainer().reset(job(recipe(name), precision=precision))
        named = (key.split("/") for key in trainer().state() if key.startswith("optimizer/"))
        return sorted(value for _, _, value in named)

    assert values("mixed_float16") == sorted([*values("float32"), "iteration", "step_counter", "dynamic_scale"])


@pytest.mark.parametrize("name", EVERY)
def test_it_trains_and_goes_on_exactly(name: str) -> None:
    warm, made = trainer(), job(recipe(name), batch_size=BATCH)
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
    begins_at_0 = np.append(zero, np.float32(0.1))
    warm.reset(made)
    warm.epoch(0, zero)
    if all(np.isfinite(value).all() for value in warm.state().values()):
        optimizers.require("o", made.optimizer, begins_at_0)
    else:
        with pytest.raises(InputError, match="above 0"):
            optimizers.require("o", made.optimizer, begins_at_0)


# These take longer than they tell: by hand, or by the continuous integration.
MORE = [
    {"weight_decay": 0.25},
    {"clipnorm": 0.25},
    {"global_clipnorm": 0.25, "gradient_accumulation_steps": 2},
    {"clipvalue": 0.125, "loss_scale_factor": 8.0},
]


@functools.cache
def any_trainer() -> any_model.AnyTrainer:
    """One trainer of a small network for every class."""
    return any_model.new_trainer()


@pytest.mark.parametrize("given", [{}, *(pytest.param(more, marks=pytest.mark.heavy) for more in MORE)], ids=str)
@pytest.mark.parametrize("name", EVERY)
def test_it_trains_as_fit_does(name: str, given: dict[str, Any]) -> None:
    """The same weights, slots and metrics as from Keras's own loop over the same batches at the same rate."""
    made, worker = any_model.case(noise=0.0, **recipe(name), **given), any_trainer()
    worker.reset(made)
    network = any_model.network((32, 32, 3), 2, 0.0)
    network.set_weights(weights(worker.state()))
    keras_own = optimizers.build(made.optimizer)
    # Built within the first step, as by `fit`, ScheduleFreeAdamW begins with momenta of 0, not the weights.
    keras_own.build(network.trainable_variables)
    network.compile(keras_own, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    data = worker._datasets.get(made.data, lambda: pytest.fail("it is loaded by reset"))
    pixels, labels = data.images.astype(np.float32) / 255, data.labels
    validation = pixels[data.validation], labels[data.validation]
    for epoch in range(2):
        ours = worker.epoch(epoch, np.full(worker.steps, made.optimizer.learning_rate, np.float32))
        order = data.train[datasets.order(len(data.train), made.seed, epoch)]
        theirs = network.fit(
            pixels[order], labels[order], batch_size=5, shuffle=False, validation_data=validation, verbose=0
        )
        assert theirs.history.keys() == ours.keys() - {"images"}
        for metric, (value,) in theirs.history.items():
            assert ours[metric] == pytest.approx(value, rel=1e-5, abs=1e-6), metric
    expected = [*network.weights, *(v for v in keras_own.variables if v.name != "learning_rate")]
    for (key, value), variable in zip(worker.state().items(), expected, strict=True):
        np.testing.assert_allclose(value, variable.numpy(), rtol=1e-4, atol=1e-5, err_msg=key)


# What a class needs to have a momentum at all.
WITH_MOMENTUM = {"SGD": {"momentum": 0.9, "nesterov": True}, "RMSprop": {"momentum": 0.9}}


@pytest.mark.parametrize("name", sorted(MOMENTUM))
def test_a_cycled_momentum_is_one_assigned_at_every_step(name: str) -> None:
    """Against Keras itself, run eagerly: there the Python float is read at each step."""
    warm, plain = trainer(), job({**recipe(name), **WITH_MOMENTUM.get(name, {})}, batch_size=BATCH)
    made, rate = replace(plain, cycles_momentum=True), plain.optimizer.learning_rate
    warm.reset(made)
    network = vgg.build(made.model, (32, 32, 3), 2)
    network.set_weights(weights(warm.state()))
    keras_own = optimizers.build(plain.optimizer)
    network.compile(keras_own, loss="sparse_categorical_crossentropy", run_eagerly=True)
    every = [momenta(0.2, 0.9), momenta(0.9, 0.5)]
    data = warm._datasets.get(made.data, lambda: pytest.fail("it is loaded by reset"))
    for epoch, row in enumerate(every):
        warm.epoch(epoch, rates(rate), row)
        batches = data.train[datasets.order(len(data.train), made.seed, epoch)]
        for step, momentum in enumerate(row):
            for attribute in MOMENTUM[name]:
                setattr(keras_own, attribute, float(momentum))
            keras_own.learning_rate.assign(rates(rate)[step])
            here = batches[BATCH * step : BATCH * (step + 1)]
            network.train_on_batch(data.images[here].astype(np.float32) / 255, data.labels[here])
    after = warm.state()
    for trained, variable in zip(weights(after), network.weights, strict=True):
        np.testing.assert_allclose(trained, variable.numpy(), rtol=2e-3, atol=3e-5)

    warm.reset(made)
    first = warm.epoch(0, rates(rate), every[0])
    middle = warm.state()
    warm.reset(plain)
    alone = [warm.epoch(0, rates(rate)), warm.state()]
    warm.reset(made)
    warm.restore(middle)
    warm.epoch(1, rates(rate), every[1])
    assert same(warm.state(), after)
    warm.reset(plain)
    assert warm.epoch(0, rates(rate)) == alone[0]
    assert same(warm.state(), alone[1])
    warm.reset(made)
    assert warm.epoch(0, rates(rate), every[0]) == first
    assert same(warm.state(), middle)
    assert middle.keys() == alone[1].keys()
    assert not same(middle, alone[1])


@pytest.mark.parametrize("name", EVERY)
def test_a_momentum_that_cannot_be_cycled_is_refused(name: str) -> None:
    steps = np.full((2, 3), 0.1, np.float32)
    given = {"class": name, **WITH_MOMENTUM.get(name, {})}
    checked = optimizers.check("o", given)
    optimizers.require("o", checked, steps)
    if name not in MOMENTUM:
        with pytest.raises(InputError, match=f"^o: the schedule cycles the momentum, and {name} "):
            optimizers.require("o", checked, steps, cycles_momentum=True)
        return
    optimizers.require("o", checked, steps, cycles_momentum=True)
    for setting in MOMENTUM[name]:
        without = replace(checked, settings={**checked.settings, setting: 0.0})
        with pytest.raises(InputError, match=rf"{name} is one without it \({setting} 0\)"):
            optimizers.require("o", without, steps, cycles_momentum=True)
