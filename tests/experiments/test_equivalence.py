"""Settings that share a key compute the same bits: each of these rules against Keras itself."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments import equivalence, optimizers
from experiments.models import vgg
from experiments.optimizers import cycled_momentum
from experiments.optimizers.classes import CLASSES, MOMENTUM
from experiments.training import backends
from tests.support.tiny import job, momenta, rates, same, trainer

SHAPES = ((3, 3, 2, 4), (6, 5), (5,))
EVERY = sorted(CLASSES)


def trained(given: dict[str, Any], cycled: float | None = None) -> dict[str, NDArray[Any]]:
    """Weights and slots after five steps of an optimizer, by index; with a momentum that goes on from `cycled`."""
    import keras

    backends.start(1)
    rng = np.random.default_rng(7)
    weights = [
        keras.Variable(rng.normal(size=shape).astype(np.float32), name=f"w{len(shape)}") for shape in SHAPES
    ]
    checked = optimizers.check("o", {"learning_rate": 0.05, **given})
    built = optimizers.build(checked)
    built.build(weights)
    momentum = cycled_momentum.cycle_momentum(built, checked) if cycled else None
    for step in range(5):
        if momentum is not None:
            momentum.assign(0.8 + step / 100)
        gradients = [keras.ops.convert_to_tensor(rng.normal(size=s).astype(np.float32)) for s in SHAPES]
        built.apply([built.scale_loss(g) for g in gradients], weights)
    values = [*weights, *(v for v in built.variables if v is not built.learning_rate)]
    return {str(index): np.array(variable.numpy()) for index, variable in enumerate(values)}


def described(
    given: dict[str, Any], precision: str = "float32", cycles: bool = False, whole: bool = False
) -> dict[str, Any]:
    """How it stands in a key."""
    return equivalence.optimizer(optimizers.check("o", given), precision, cycles, whole)


@pytest.mark.parametrize("name", EVERY)
def test_no_decay_and_a_decay_of_nothing_are_the_same(name: str) -> None:
    without = {"class": "Adam"} if name == "AdamW" else {"class": name}  # AdamW has to have one
    first, second = {**without, "weight_decay": None}, {"class": name, "weight_decay": 0.0}
    assert described(first) == described(second)
    assert same(trained(first), trained(second))


@pytest.mark.parametrize("name", EVERY)
def test_a_loss_that_is_not_scaled_and_one_scaled_by_one_are_the_same(name: str) -> None:
    first, second = {"class": name}, {"class": name, "loss_scale_factor": 1.0}
    assert described(first) == described(second)
    assert same(trained(first), trained(second))


@pytest.mark.parametrize("name", EVERY)
def test_a_decay_that_takes_something_is_another(name: str) -> None:
    first, second = {"class": name, "weight_decay": 0}, {"class": name, "weight_decay": 0.125}
    assert described(first) != described(second)
    assert not same(trained(first), trained(second))


def test_muon_without_decay_and_with_nothing_to_exclude() -> None:
    muon = {"class": "Muon"}
    assert described({**muon, "adam_weight_decay": None}) == described({**muon, "adam_weight_decay": 0})
    first, second = {**muon, "adam_weight_decay": None}, {**muon, "adam_weight_decay": 0}
    assert same(trained(first), trained(second))
    first, second = (
        {**muon, "exclude_embeddings": True},
        {**muon, "exclude_embeddings": False, "exclude_layers": []},
    )
    assert described(first) == described(second)
    assert same(trained(first), trained(second))
    first, second = ({**muon, "exclude_layers": layers} for layers in (["w2", "none"], ["none", "w2", "w2"]))
    assert described(first) == described(second) != described(muon)
    assert same(trained(first), trained(second))
    assert len(trained(first)) != len(trained(muon))


def test_no_layer_of_any_network_is_an_embedding() -> None:
    backends.start(1)
    for name in vgg.CONFIGURATIONS:
        for head in ("average", "classic"):
            settings = vgg.check("model", {"name": name, "width": 0.02, "head": head})
            paths = [weight.path for weight in vgg.build(settings, (32, 32, 3), 2).trainable_variables]
            assert not [path for path in paths if "embedding" in path.lower()]


def test_adamw_is_adam_with_a_decay() -> None:
    first, second = {"class": "AdamW", "amsgrad": True}, {"class": "Adam", "weight_decay": 0.004, "amsgrad": True}
    assert described(first) == described(second)
    assert same(trained(first), trained(second))


@pytest.mark.parametrize("name", sorted(MOMENTUM))
def test_a_momentum_that_every_step_replaces_does_not_count(name: str) -> None:
    low, high = ({"class": name, **dict.fromkeys(MOMENTUM[name], value)} for value in (0.25, 0.75))
    assert described(low, cycles=True) == described(high, cycles=True)
    assert described(low) != described(high)
    assert same(trained(low, cycled=0.8), trained(high, cycled=0.8))
    assert not same(trained(low), trained(high))


def test_a_factor_of_one_is_not_one_that_adapts() -> None:
    first, second = {"class": "SGD"}, {"class": "SGD", "loss_scale_factor": 1}
    assert described(first, "mixed_bfloat16") == described(second, "mixed_bfloat16")
    assert described(first, "mixed_float16") != described(second, "mixed_float16")


@pytest.mark.parametrize("nothing", [{"weight_decay": 0}, {"loss_scale_factor": 1}])
def test_operations_that_change_nothing_count_in_a_program_of_a_whole_step(nothing: dict[str, Any]) -> None:
    assert described({"class": "SGD", **nothing}, whole=True) != described({"class": "SGD"}, whole=True)
    assert described({"class": "SGD", **nothing}) == described({"class": "SGD"})
    assert equivalence.compiled_whole("tensorflow", False, {})
    assert equivalence.compiled_whole("tensorflow", True, {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2"})


def test_there_is_one_zero() -> None:
    optimizer = optimizers.Optimizer("SGD", 0.1, 0.0, {"loss_scale_factor": None, "momentum": -0.0})
    assert str(equivalence.optimizer(optimizer, "float32", False, False)["momentum"]) == "0.0"


def test_widths_of_the_same_layers_are_one_network() -> None:
    def of(width: float, head: str) -> dict[str, Any]:
        return equivalence.model(vgg.check("model", {"name": "vgg16", "width": width, "head": head}))

    assert of(0.25, "average") == of(0.2501, "average")
    # The dense layers of 4096 times the width are finer.
    assert of(0.25, "classic") != of(0.2502, "classic")
    assert of(0.25, "average") != of(0.26, "average")


def test_adam_goes_on_from_a_state_of_adamw_to_the_bit() -> None:
    """A checkpoint under a shared key has to fit, names and all; so it takes the real trainer."""
    ways = [{"class": "AdamW", "weight_decay": 0}, {"class": "Adam"}, {"class": "Adam", "weight_decay": 0.0}]
    states, metrics = [], []
    for begun, ended in zip(ways, ways[1:] + ways[:1], strict=True):
        trainer().reset(job(begun))
        trainer().epoch(0, rates(0.001))
        state = trainer().state()
        trainer().reset(job(ended))
        trainer().restore(state)
        metrics.append(trainer().epoch(1, rates(0.001)))
        states.append(trainer().state())
    assert metrics[0] == metrics[1] == metrics[2]
    assert same(states[0], states[1])
    assert same(states[1], states[2])


def test_a_full_batch_and_its_number_are_the_same_where_their_parts_are() -> None:
    """Dropout is drawn part by part, so it takes the real trainer."""
    dropout = {"head": "classic", "dropout": 0.5}
    losses = []
    for size in ("full", 12, 5000):
        trainer().reset(job({"class": "SGD"}, batch_size=size, **dropout))  # type: ignore[arg-type]
        losses.append(trainer().epoch(0, rates(0.1)))
    assert losses[0] == losses[1] == losses[2]


def test_a_cycled_momentum_begins_nowhere_in_the_real_trainer() -> None:
    states = []
    for momentum in (0.25, 0.75):
        case = replace(job({"class": "SGD", "momentum": momentum, "nesterov": True}), cycles_momentum=True)
        trainer().reset(case)
        trainer().epoch(0, rates(0.01), momenta(0.8, 0.9))
        states.append(trainer().state())
    assert same(*states)
