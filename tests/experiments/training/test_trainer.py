"""Real training, very small: that it is Keras's, exact, and the same however it comes about."""

import json
import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from experiments import datasets
from experiments.environment import backend
from experiments.models import vgg
from experiments.settings import InputError
from experiments.training.trainer import Job, Trainer
from tests.support import elsewhere
from tests.support.tiny import job, momenta, named, photos, rates, same, trainer, weights

SGD = {"class": "SGD", "learning_rate": 0.01}

# A process keeps one backend; `make test` runs these tests on both.
on_tensorflow = pytest.mark.skipif(backend() != "tensorflow", reason="counts the traces of TensorFlow")
on_jax = pytest.mark.skipif(backend() != "jax", reason="counts what jax compiles")


def plain(case: Job, state: dict[str, Any]) -> Any:
    """The same network in Keras's own hands, with the weights of a trainer's `state`."""
    from keras import optimizers

    network = vgg.build(case.model, (32, 32, 3), 2)
    network.set_weights(weights(state))
    sgd = optimizers.SGD(momentum=case.optimizer.settings["momentum"])
    network.compile(sgd, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return network


def images(case: Job, which: Literal["train", "validation", "test"]) -> tuple[Any, Any]:
    """Images in 0..1 and their labels, as a plain script would hold them."""
    data = trainer()._datasets.get(case.data, lambda: pytest.fail("it is loaded by reset"))
    indices = getattr(data, which)
    if which == "train":
        indices = indices[datasets.order(len(indices), case.seed, 0)]
    return data.images[indices].astype(np.float32) / 255, data.labels[indices]


def test_an_epoch_is_what_keras_does_with_the_same_batches_and_rates() -> None:
    case, warm = job({**SGD, "momentum": 0.9}, batch_size=5), trainer()
    warm.reset(case)
    network = plain(case, warm.state())
    metrics = warm.epoch(0, rates(0.05))
    after, pixels, labels = warm.state(), *images(case, "train")
    losses = []
    for step, rate in enumerate(rates(0.05)):
        batch = slice(5 * step, 5 * step + 5)
        network.optimizer.learning_rate.assign(rate)
        network.reset_metrics()
        losses.append(float(network.train_on_batch(pixels[batch], labels[batch])[0]))
    assert [len(pixels[5 * n : 5 * n + 5]) for n in range(3)] == [5, 5, 2]
    np.testing.assert_allclose(warm.losses, losses, rtol=1e-5)
    assert metrics["loss"] == pytest.approx((5 * losses[0] + 5 * losses[1] + 2 * losses[2]) / 12, rel=1e-5)
    assert metrics["images"] == 12
    for trained, variable in zip(weights(after), network.weights, strict=True):
        np.testing.assert_allclose(trained, variable.numpy(), rtol=1e-4, atol=1e-6)
    loss, accuracy = network.evaluate(*images(case, "validation"), verbose=0)
    assert metrics["val_loss"] == pytest.approx(loss, rel=1e-4)
    assert metrics["val_accuracy"] == pytest.approx(accuracy)


def test_it_learns() -> None:
    trainer().reset(job({"class": "Adam"}, batch_size=4))
    history = [trainer().epoch(n, rates(0.003)) for n in range(12)]
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert history[-1]["val_accuracy"] == 1


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Every case trained for four epochs here, and for two here and two in another process."""
    folder = tmp_path_factory.mktemp("moved")
    here: dict[str, Any] = {}
    for name, case in elsewhere.CASES.items():
        trainer().reset(case)
        history = elsewhere.train(range(1), case.cycles_momentum)
        first = trainer().state()
        history += elsewhere.train(range(1, 2), case.cycles_momentum)
        np.savez(folder / f"{name}-before.npz", **trainer().state())
        history += elsewhere.train(range(2, 4), case.cycles_momentum)
        here[name] = (history, trainer().state(), first)
    command = [sys.executable, "-m", "tests.support.elsewhere", str(folder)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[3])
    metrics = json.loads((folder / "metrics.json").read_text())
    there = {n: (m, elsewhere.read(folder / f"{n}-after.npz")) for n, m in metrics.items()}
    return here, there


@pytest.mark.parametrize("name", elsewhere.CASES)
def test_four_epochs_are_two_and_two_in_another_process_to_the_bit(moved: Any, name: str) -> None:
    here, there = moved
    assert there[name][0] == here[name][0][2:]
    assert same(there[name][1], here[name][1])


def test_a_start_in_a_warm_process_is_one_in_a_new_process_to_the_bit(moved: Any) -> None:
    here, there = moved
    history, _, after_one = here["everything"]
    assert there["fresh"][0] == history[:1]
    assert same(there["fresh"][1], after_one)


def test_the_seed_decides_weights_and_order_and_nothing_else_does() -> None:
    warm, case = trainer(), job(SGD)
    states = []
    for seed in (0, 1, 0):
        np.random.seed(len(states))  # global state must not matter
        warm.reset(replace(case, seed=seed))
        warm.epoch(0, rates(0.01))
        states.append(warm.state())
    assert same(states[0], states[2])
    kernel = named(states[0], "logits/kernel")
    assert not np.array_equal(states[0][kernel], states[1][kernel])


def test_every_epoch_has_its_own_order() -> None:
    warm = trainer()
    warm.reset(job(SGD))
    zero, losses = np.zeros(3, np.float32), []
    for epoch in (0, 1, 0):
        warm.epoch(epoch, zero)
        losses.append(warm.losses.tolist())
    assert losses[0] == losses[2] != losses[1]


def test_dropout_differs_from_epoch_to_epoch_and_seed_to_seed() -> None:
    warm, case = trainer(), job(SGD, batch_size="full", head="classic", dropout=0.5)
    zero = np.zeros(1, np.float32)
    warm.reset(case)
    losses = [warm.epoch(n, zero)["loss"] for n in (0, 1, 0)]
    assert losses[0] == losses[2] != losses[1]
    fresh = warm.state()
    warm.reset(replace(case, seed=1))
    warm.restore(fresh)
    assert warm.epoch(0, zero)["loss"] != losses[0]


def test_augmentation_changes_training_but_not_validation() -> None:
    warm, case = trainer(), job(SGD)
    zero = np.zeros(3, np.float32)
    warm.reset(case)
    plain_metrics = warm.epoch(0, zero)
    warm.reset(job(SGD, augmentation={"horizontal_flip": True, "shift": 3}))
    changed = warm.epoch(0, zero)
    assert changed["loss"] != plain_metrics["loss"]
    assert changed["val_loss"] == plain_metrics["val_loss"]


def test_a_large_batch_in_parts_is_one_weight_step_of_the_whole() -> None:
    case = job({**SGD, "momentum": 0.9}, batch_size="full", folder=photos(each=200))
    warm = trainer()
    warm.reset(case)
    assert warm.steps == 1
    network = plain(case, warm.state())
    metrics = warm.epoch(0, rates(0.1))
    after, pixels, labels = warm.state(), *images(case, "train")
    assert len(pixels) == metrics["images"] == 300
    network.optimizer.learning_rate.assign(0.1)
    assert metrics["loss"] == pytest.approx(float(network.train_on_batch(pixels, labels)[0]), rel=1e-5)
    for trained, variable in zip(weights(after), network.weights, strict=True):
        np.testing.assert_allclose(trained, variable.numpy(), rtol=1e-4, atol=1e-6)

    warm.reset(replace(case, batch_size=260))
    warm.epoch(0, np.array([1e30, 1e30], np.float32))
    warm.reset(case)
    assert warm.epoch(0, rates(0.1)) == metrics
    assert same(warm.state(), after)


def test_a_batch_larger_than_the_data_is_all_of_it() -> None:
    trainer().reset(job(SGD, batch_size=1000))
    assert trainer().steps == 1
    metrics = trainer().epoch(0, rates(0.01))
    trainer().reset(job(SGD, batch_size="full"))
    assert trainer().epoch(0, rates(0.01)) == metrics


def test_a_loss_that_is_not_finite_ends_the_epoch_and_only_that() -> None:
    warm, case = trainer(), job(SGD, batch_size=3)
    warm.reset(case)
    before = warm.epoch(0, rates(0.01))
    results = []
    for _ in range(2):
        warm.reset(case)
        results.append(warm.epoch(0, np.full(4, 1e30, np.float32)))
        assert np.isfinite(warm.losses[0])
        assert np.isnan(warm.losses[-1])
    assert not math.isfinite(results[0]["loss"])
    assert math.isnan(results[0]["val_loss"])
    assert math.isnan(results[0]["val_accuracy"])
    assert 0 < results[0]["images"] < 12
    assert results[0]["images"] == results[1]["images"]
    assert results[0]["accuracy"] == results[1]["accuracy"]
    warm.reset(case)
    assert warm.epoch(0, rates(0.01)) == before


@on_tensorflow
def test_a_kernel_that_is_not_finite_is_divergence_though_the_loss_does_not_show_it() -> None:
    warm = trainer()
    warm.reset(job(SGD))
    state = warm.state()
    kernel = named(state, "block1_conv1/kernel")
    warm.restore({**state, kernel: np.full_like(state[kernel], np.nan)})
    metrics = warm.epoch(0, rates(0.01))
    # ReLU and max-pooling give numbers for what is none, on a CPU.
    assert np.isfinite(warm.losses).all()
    assert metrics["images"] == 12
    assert math.isnan(metrics["loss"])
    assert math.isnan(metrics["val_loss"])
    assert math.isnan(metrics["val_accuracy"])


def test_a_state_has_the_counters_the_scale_of_the_loss_and_the_averages() -> None:
    warm = trainer()
    optimizer = {"class": "Adam", "use_ema": True, "gradient_accumulation_steps": 2}
    warm.reset(job(optimizer, precision="mixed_float16"))
    state = warm.state()
    each = len(weights(state))
    # One iteration is the optimizer's, one that of the scale around it.
    once = {"iteration": 2, "step_counter": 1, "dynamic_scale": 1}
    slots = dict.fromkeys(("momentum", "velocity", "average", "gradient_accumulator"), each)
    counts = {end: sum(name.endswith(end) for name in state) for end in once | slots}
    assert counts == once | slots
    assert len(state) == each + sum(counts.values())


def test_weights_are_judged_as_they_are_before_the_first_step_of_an_average() -> None:
    """A scale that overflows skips the epoch's only step, and the averages are still 0."""
    warm, case = trainer(), job({**SGD, "use_ema": True}, precision="mixed_float16", batch_size="full")
    warm.reset(case)
    state = warm.state()
    (scale,) = (name for name in state if name.endswith("dynamic_scale"))
    warm.restore({**state, scale: np.array(1e38, np.float32)})
    skipped = warm.epoch(0, rates(0.01))
    assert warm.state()[scale] == np.float32(5e37)
    warm.reset(case)
    unchanged = warm.epoch(0, rates(0.0))
    assert skipped == unchanged


@on_tensorflow
def test_one_trace_serves_every_rate_chunk_and_batch_size() -> None:
    warm = trainer()
    for batch_size, rate in ((5, 0.01), (4, 0.2), (12, 0.05)):
        warm.reset(job(SGD, batch_size=batch_size))
        warm.epoch(0, rates(rate))
        warm.epoch(1, rates(rate / 2))
    train_step: Any = warm._train_step
    assert train_step._train.experimental_get_tracing_count() == 1
    assert train_step._model.gradients.experimental_get_tracing_count() == 1


@on_tensorflow
def test_one_trace_serves_every_momentum_and_is_not_that_of_a_job_without() -> None:
    warm, case = trainer(), job({**SGD, "momentum": 0.9})
    warm.reset(case)
    without: Any = warm._train_step
    warm.reset(replace(case, cycles_momentum=True))
    train_step: Any = warm._train_step
    for epoch, low in enumerate((0.1, 0.5, 0.8)):
        warm.epoch(epoch, rates(0.01), momenta(low, 0.95))
    assert train_step is not without
    assert train_step._train.experimental_get_tracing_count() == 1
    warm.reset(case)
    assert warm._train_step is without


@on_jax
def test_a_program_is_compiled_once_for_every_rate_and_momentum_and_once_for_each_size_of_a_batch() -> None:
    from jax import monitoring

    compiled: Counter[str] = Counter()
    monitoring.register_event_duration_secs_listener(
        lambda event, _seconds, **facts: compiled.update(
            [facts["fun_name"]] if event.endswith("/backend_compile_duration") else []
        )
    )
    # A setting of its own, so that no test before has compiled this.
    warm, case = trainer(), job({"class": "SGD", "momentum": 0.8125})
    for batch_size in (5, 4, 5):
        warm.reset(replace(case, batch_size=batch_size))
        for epoch, rate in enumerate((0.01, 0.1, 0.02)):
            warm.epoch(epoch, rates(rate))
    # 12 images are batches of 5, 5 and 2, or three of 4.
    assert compiled["jit(_microbatch)"] == len({5, 2, 4})
    warm.reset(replace(case, cycles_momentum=True, seed=3))
    for epoch, low in enumerate((0.1, 0.5, 0.8)):
        warm.epoch(epoch, rates(0.01), momenta(low, 0.95))
    assert compiled["jit(_microbatch)"] == len({5, 2, 4}) + len({5, 2})


@pytest.mark.parametrize("changes", [{"precision": "mixed_float16"}, {"batch_size": 260}])
def test_momentum_is_cycled_in_half_precision_and_in_batches_of_several_parts(changes: dict[str, Any]) -> None:
    warm = trainer()
    case = replace(job({**SGD, "momentum": 0.9}, folder=photos(each=200)), **{"batch_size": 150, **changes})
    ends = []
    for high in (0.1, 0.9, 0.1):
        warm.reset(replace(case, cycles_momentum=True))
        warm.epoch(0, rates(0.05), momenta(0.0, high))
        ends.append(warm.state())
    assert same(ends[0], ends[2])
    kernel = named(ends[0], "logits/kernel")
    assert not np.array_equal(ends[0][kernel], ends[1][kernel])
    warm.reset(case)
    assert warm.state().keys() == ends[0].keys()


def test_a_momentum_is_given_where_the_job_cycles_it_and_only_there() -> None:
    case = job({**SGD, "momentum": 0.9})
    trainer().reset(case)
    with pytest.raises(InputError, match="epoch 3: a momentum belongs to a job with cycles_momentum"):
        trainer().epoch(3, rates(0.01), momenta(0.8, 0.9))
    trainer().reset(replace(case, cycles_momentum=True))
    with pytest.raises(InputError, match="got None for cycles_momentum=True"):
        trainer().epoch(3, rates(0.01))
    with pytest.raises(InputError, match="epoch 3: expected 3 momenta as float32, one a step, got float32"):
        trainer().epoch(3, rates(0.01), momenta(0.8, 0.9)[:2])


def test_a_foreign_state_is_refused_and_changes_nothing() -> None:
    warm = trainer()
    warm.reset(job({"class": "Adam"}))
    adam = warm.state()
    warm.reset(job(SGD))
    own = warm.state()
    with pytest.raises(InputError, match="of another model or optimizer"):
        warm.restore(adam)
    kernel, bias = named(own, "block1_conv1/kernel"), named(own, "logits/bias")
    for value in (own[kernel].astype(np.float64), own[kernel][..., :2]):
        with pytest.raises(InputError, match=f"state: {kernel}: expected float32"):
            warm.restore({**own, bias: own[bias] + 1, kernel: value})
    with pytest.raises(InputError, match=f"missing are 1 values .{kernel}"):
        warm.restore({name: value for name, value in own.items() if name != kernel})
    assert same(warm.state(), own)


def test_a_state_is_a_copy_and_says_what_it_holds() -> None:
    warm = trainer()
    warm.reset(job({"class": "Adam"}))
    state = warm.state()
    name = named(state, "block1_conv1/kernel")
    kernel = state[name].copy()
    warm.epoch(0, rates(0.01))
    assert np.array_equal(state[name], kernel)
    assert sum(name.endswith("block1_conv1_kernel_momentum") for name in state) == 1
    assert sum(name.endswith("iteration") for name in state) == 1
    assert not any("learning_rate" in name or "seed" in name for name in state)


@pytest.mark.parametrize("wrong", [np.zeros(2, np.float32), np.zeros(3), np.zeros((3, 1), np.float32)])
def test_learning_rates_must_be_one_a_step(wrong: Any) -> None:
    trainer().reset(job(SGD))
    with pytest.raises(InputError, match="epoch 7: expected 3 learning rates as float32"):
        trainer().epoch(7, wrong)


def test_images_that_are_not_those_of_the_plan_are_refused(tmp_path: Path) -> None:
    planned = datasets.describe(job(SGD).data, tmp_path).fingerprint
    trainer().reset(replace(job(SGD), fingerprint=planned))
    with pytest.raises(InputError, match=r"data\.path: .* holds other images on .* make them the same"):
        trainer().reset(replace(job(SGD), fingerprint="0" * 64))


def test_a_process_keeps_its_threads() -> None:
    trainer().reset(job(SGD))
    assert trainer().device == "cpu"
    with pytest.raises(InputError, match=r"threads=1.*cannot change to threads=2"):
        Trainer(threads=2, cache=Path("unused")).reset(job(SGD))


@pytest.mark.parametrize("optimizer", [SGD, {**SGD, "use_ema": True, "ema_momentum": 0.5}])
def test_what_is_saved_is_what_was_validated(tmp_path: Path, optimizer: dict[str, Any]) -> None:
    import keras

    warm, case = trainer(), job(optimizer)
    warm.reset(case)
    metrics = warm.epoch(0, rates(0.3))
    state = warm.state()
    warm.save(tmp_path / "model.keras")
    assert same(warm.state(), state)
    opened = keras.models.load_model(tmp_path / "model.keras")
    opened.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    loss, accuracy = opened.evaluate(*images(case, "validation"), verbose=0)
    assert metrics["val_loss"] == pytest.approx(loss, rel=1e-5)
    assert metrics["val_accuracy"] == pytest.approx(accuracy)
    kernel = state[named(state, "logits/kernel")]
    averaged = not np.array_equal(opened.get_layer("logits").kernel.numpy(), kernel)
    assert averaged == ("use_ema" in optimizer)


@pytest.mark.parametrize("optimizer", [SGD, {**SGD, "use_ema": True, "ema_momentum": 0.5}])
def test_the_test_set_is_measured_as_keras_does_with_the_weights_that_were_validated(
    tmp_path: Path, optimizer: dict[str, Any]
) -> None:
    import keras

    warm, case = trainer(), job(optimizer, test=0.25)
    warm.reset(case)
    metrics = warm.epoch(0, rates(0.3))
    warm.save(tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras")
    opened.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    for which, name in (("validation", "val"), ("test", "test")):
        loss, accuracy = opened.evaluate(*images(case, which), verbose=0)
        assert metrics[f"{name}_loss"] == pytest.approx(loss, rel=1e-5)
        assert metrics[f"{name}_accuracy"] == pytest.approx(accuracy)
    assert (len(images(case, "train")[0]), len(images(case, "test")[0]), metrics["images"]) == (8, 4, 8)


def test_an_epoch_without_a_test_set_has_no_metrics_of_one_and_one_that_diverged_has_none_in_them() -> None:
    warm = trainer()
    warm.reset(job(SGD))
    assert set(warm.epoch(0, rates(0.01))) == {"loss", "accuracy", "val_loss", "val_accuracy", "images"}
    warm.reset(job(SGD, batch_size=3, test=0.25))
    metrics = warm.epoch(0, np.full(warm.steps, 1e30, np.float32))
    assert all(math.isnan(metrics[name]) for name in ("val_loss", "val_accuracy", "test_loss", "test_accuracy"))


@on_tensorflow
def test_one_trace_measures_validation_and_test() -> None:
    warm = trainer()
    for test in (0, 0.25, 0.4):
        warm.reset(job(SGD, test=test))
        warm.epoch(0, rates(0.01))
    model: Any = warm._model
    assert model._evaluate.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_trains_float32_weights(precision: str) -> None:
    warm = trainer()
    warm.reset(job(SGD))
    full = warm.epoch(0, rates(0.01))
    warm.reset(job(SGD, precision=precision))
    before = warm.state()
    metrics = warm.epoch(0, rates(0.01))
    state = warm.state()
    assert metrics["loss"] == pytest.approx(full["loss"], rel=0.05)
    assert metrics["loss"] != full["loss"]
    assert {value.dtype.name for value in weights(state)} == {"float32"}
    kernel = named(state, "logits/kernel")
    assert not np.array_equal(before[kernel], state[kernel])
    assert any("scale" in name for name in state) == (precision == "mixed_float16")


def test_a_range_test_trains_as_epochs_do_with_the_ramp_as_their_rates() -> None:
    case, warm = job({**SGD, "momentum": 0.9}, batch_size=5), trainer()
    ramp = np.geomspace(1e-4, 0.1, 7).astype(np.float32)
    warm.reset(case)
    losses = warm.range_test(ramp)
    warm.reset(case)
    expected = []
    for n in range(2):
        warm.epoch(n, ramp[3 * n : 3 * n + 3])
        expected += warm.losses.tolist()
    assert losses.dtype == np.float32
    assert losses[:6].tolist() == expected
    warm.epoch(2, np.array([ramp[6], 0, 0], np.float32))
    assert losses[6] == warm.losses[0]


def test_a_range_test_ends_when_the_loss_leaves_all_bounds() -> None:
    warm = trainer()
    warm.reset(job(SGD, batch_size=5))
    ramp = np.geomspace(1e-3, 1e9, 60).astype(np.float32)
    losses = warm.range_test(ramp)
    assert 5 < len(losses) < 60
    assert np.isfinite(losses).all()
    warm.reset(job(SGD, batch_size=5))
    assert np.isfinite(warm.epoch(0, rates(0.01))["loss"])
