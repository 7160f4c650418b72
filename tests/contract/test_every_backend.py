"""What holds on every backend: `make test` runs it on TensorFlow and on jax."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import datasets
from experiments.optimizers.classes import CLASSES
from experiments.training.trainer import Trainer
from orchestrator.planning.epoch_chain import EpochChain
from tests.support import any_model
from tests.support.any_model import AnyTrainer, case, new_trainer, train
from tests.support.tiny import job, same, trainer, weights

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_start_is_the_same_whatever_was_there_before(name: str) -> None:
    made = job({"class": name}, seed=5)
    trainer().reset(job({"class": name}, seed=6))
    trainer().reset(made)
    fresh = trainer().state()
    assert all(np.isfinite(value).all() for value in fresh.values())
    worker = Trainer(threads=1, cache=trainer()._cache)
    worker.reset(made)
    assert same(worker.state(), fresh)
    for left in (math.nan, 1.0):
        for variable in worker._model.keras.weights:
            variable.assign(np.full(variable.shape, left, np.float32))
        worker.reset(made)
        assert same(worker.state(), fresh)
        for variable in worker._model.keras.weights:
            variable.assign(np.full(variable.shape, left, np.float32))
        worker.reset(job({"class": name, "clipnorm": 1.0 + (left == 1.0)}, seed=5))
        assert same(worker.state(), fresh)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Four epochs of the case in another process."""
    file = tmp_path_factory.mktemp("elsewhere") / "after.npz"
    subprocess.run([sys.executable, "-m", "tests.support.any_model", str(file)], check=True, cwd=ROOT)
    with np.load(file) as arrays:
        return dict(arrays)


def test_any_model_goes_on_to_the_bit_in_another_trainer_and_another_process(elsewhere: dict[str, Any]) -> None:
    worker = new_trainer()
    worker.reset(replace(case(), seed=1))
    train(worker, range(1))
    worker.reset(case())
    history = train(worker, range(2))
    middle = worker.state()
    history += train(worker, range(2, 4))
    after = worker.state()
    assert [epoch[name] for epoch in history for name in ("loss", "val_loss")] == elsewhere.pop("losses").tolist()
    assert same(after, elsewhere)

    other = new_trainer()
    other.reset(replace(case(), seed=1))
    other.restore(middle)
    other.reset(case())
    other.restore(middle)
    assert train(other, range(2, 4)) == history[2:]
    assert same(other.state(), after)


def test_every_random_layer_draws_by_seed_and_epoch_and_by_nothing_else() -> None:
    worker = new_trainer()
    states = []
    for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0)):
        worker.reset(replace(case(), seed=seed))
        train(worker, range(epoch, epoch + 1))
        # After the same number of draws, from where the epoch began.
        layers = worker._model.keras._flatten_layers()
        generators = [g for layer in layers for g in layer._seed_generators]
        states.append([np.array(generator.state.numpy()).tolist() for generator in generators])
    assert len(states[0]) == 4
    assert states[0] == states[3]
    every = [tuple(state) for trained in states[:3] for state in trained]
    assert len(set(every)) == len(every)


def test_a_smaller_last_batch_leaves_what_keras_leaves() -> None:
    made = case(noise=0.0, **{"class": "SGD", "momentum": 0.9})
    worker = new_trainer()
    worker.reset(made)
    network = any_model.network((32, 32, 3), 2, 0.0)
    network.set_weights(weights(worker.state()))
    from keras import optimizers

    network.compile(optimizers.SGD(0.01, momentum=0.9), loss="sparse_categorical_crossentropy")
    metrics = train(worker, range(1))[0]
    data = worker._datasets.get(made.data, lambda: pytest.fail("it is loaded by reset"))
    batches = data.train[datasets.order(len(data.train), made.seed, 0)]
    for start in (0, 5, 10):
        here = batches[start : start + 5]
        network.train_on_batch(data.images[here].astype(np.float32) / 255, data.labels[here])
    assert len(here) == 2
    for trained, variable in zip(weights(worker.state()), network.weights, strict=True):
        np.testing.assert_allclose(trained, variable.numpy(), rtol=1e-4, atol=1e-6, err_msg=variable.path)
    validated = data.images[data.validation].astype(np.float32) / 255, data.labels[data.validation]
    assert metrics["val_loss"] == pytest.approx(network.evaluate(*validated, verbose=0), rel=1e-4)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("/kernel", math.nan),
        ("moving_variance", math.inf),
        ("average", math.nan),
        ("average", math.inf),
        ("velocity", math.inf),
    ],
)
def test_an_epoch_that_leaves_what_is_not_finite_has_diverged(part: str, value: float) -> None:
    worker = new_trainer()
    worker.reset(case())
    whole = worker.state()
    (name, *_) = (name for name in whole if part in name)
    broken = whole[name].copy()
    broken.flat[-1] = value
    worker.restore({**whole, name: broken})
    metrics = train(worker, range(1))[0]
    chain = EpochChain("", np.zeros((4, worker.steps), np.float32))
    assert chain.ending([metrics]) == "diverged"
    assert not math.isfinite(metrics["loss"])
    assert math.isnan(metrics["val_loss"])
    assert math.isnan(metrics["val_accuracy"])
    worker.reset(case())
    assert same(worker.state(), whole)
    assert all(math.isfinite(value) for value in train(worker, range(1))[0].values())


class BoundedTrainer(AnyTrainer):
    """Trains one weight, and whatever becomes of it, the loss stays finite."""

    def _build(self, shape: tuple[int, int, int], classes: int) -> Any:
        import keras
        from keras import layers

        inputs = keras.Input(shape)
        x = layers.GaussianNoise(0.1)(layers.GlobalAveragePooling2D()(inputs)[:, :1])
        x = layers.Dense(1, use_bias=False, activation="tanh")(x)
        logits = layers.Dense(classes, trainable=False, name="logits")(x)
        return keras.Model(inputs, layers.Activation("softmax")(logits))


def test_a_range_test_ends_with_the_step_that_leaves_what_is_not_finite() -> None:
    # One image a batch: an epoch is twelve steps, which are trained in one piece.
    made = replace(case(**{"class": "AdamW", "weight_decay": 1000.0}), batch_size=1)
    worker = BoundedTrainer(threads=1, cache=trainer()._cache)
    ramp = np.full(30, 1e-4, np.float32)
    worker.reset(made)
    whole = worker.range_test(ramp)
    assert len(whole) == 30
    ramp[17] = 3e38
    worker.reset(made)
    losses = worker.range_test(ramp)
    assert losses.tolist() == whole[:18].tolist()
    assert not all(np.isfinite(value).all() for value in worker.state().values())
