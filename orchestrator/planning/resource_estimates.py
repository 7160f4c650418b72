"""The resources that a sweep needs: work, memory, disk. Estimates from the sweep file, before anything runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

from experiments.datasets import Description
from experiments.models import vgg
from experiments.optimizers.optimizer import Optimizer
from experiments.training.microbatches import CHUNK_BYTES
from experiments.training.trainer import TRAIN_STEPS
from orchestrator.planning import checkpoint_retention
from orchestrator.planning.plan import Plan
from orchestrator.spec.keys import ALL, NEEDED
from orchestrator.spec.sweep import DEFAULT_TRAINER
from orchestrator.spec.trials import Recipe


@dataclass(frozen=True)
class Layer:
    """A convolution: outputs per image (height x width x channels), and multiply-adds for each of them."""

    outputs: int
    multiply_adds: int


def layers(model: vgg.Model, shape: tuple[int, int, int]) -> Iterator[Layer]:
    """The convolutions of `model` for images of `shape` (height, width, channels)."""
    height, width, inputs = shape
    for outputs, kernels in zip(vgg.channels(model), vgg.CONFIGURATIONS[model.name].kernels, strict=True):
        for kernel in kernels:
            yield Layer(height * width * outputs, kernel * kernel * inputs)
            inputs = outputs
        height, width = height // 2, width // 2


def epoch_work(plan: Plan) -> Mapping[str, float]:
    """The work of an epoch of each trial, relative to the plan's other trials: multiply-adds x images.

    For a trainer other than the built-in one every epoch counts the same.
    """
    if plan.sweep.trainer != DEFAULT_TRAINER:
        return {trial.id: 1.0 for trial in plan.all_trials}
    by_recipe: dict[int, float] = {}
    for trial in plan.all_trials:
        if id(trial.recipe) not in by_recipe:
            by_recipe[id(trial.recipe)] = _recipe_work(trial.recipe, plan.root_facts.description(trial.recipe))
    return {trial.id: by_recipe[id(trial.recipe)] for trial in plan.all_trials}


def _recipe_work(recipe: Recipe, description: Description) -> float:
    model = recipe.settings.model
    per_image = sum(layer.outputs * layer.multiply_adds for layer in layers(model, description.shape))
    return float(per_image * (3 * description.train + description.validation + description.test))


FLOAT = 4
"""Bytes of a weight, a slot, and of an activation in float32."""
SLOTS: Mapping[str, int] = {"SGD": 0, "RMSprop": 1, "Adagrad": 1, "Lion": 1, "Adafactor": 1, "Muon": 0}
"""Values that an optimizer keeps for each weight; optimizers not listed keep two."""
MORE_SLOTS = ("momentum", "amsgrad", "centered", "use_ema")
"""Settings that add one more value where they are on."""


def slots(optimizer: Optimizer) -> int:
    """How many values `optimizer` keeps for each weight; its checkpoints hold them beside the weight.

    >>> from experiments import optimizers
    >>> slots(optimizers.check("adam", {"class": "Adam", "amsgrad": True}))
    3
    """
    return SLOTS.get(optimizer.class_name, 2) + sum(bool(optimizer.settings.get(name)) for name in MORE_SLOTS)


@dataclass(frozen=True)
class Disk:
    """Bytes of a finished sweep's checkpoints and best models: at `least`, and at `most`."""

    least: int
    most: int


def disk(plan: Plan) -> Disk:
    """The bytes of the checkpoints and models of the plan's trials when all are finished.

    A checkpoint has 4 bytes x parameters x (1 + slots). Every finished trial keeps its last checkpoint and its
    best one, which may be the same, and the weights of the best one as a `.keras` file. Those `on_the_way` are
    counted once for all trials.
    """
    exported = 1 if plan.sweep.save_best else 0
    sizes = [(FLOAT * _parameters(plan, t.recipe), 1 + slots(t.recipe.optimizer)) for t in plan.trials]
    further = sum(on_the_way(plan).values())
    best = 0 if plan.sweep.checkpoints == ALL else 1
    return Disk(
        further + sum(weights * (states + exported) for weights, states in sizes),
        further + sum(weights * (states + best * states + exported) for weights, states in sizes),
    )


def on_the_way(plan: Plan) -> Mapping[str, int]:
    """The bytes of each checkpoint that the sweep keeps before the last epoch of a trial, by the epoch's key.

    Trials with the same beginning share it. It is empty where a trial keeps its newest and its best one only.
    """
    if plan.sweep.checkpoints == NEEDED:
        return {}
    sizes: dict[str, int] = {}
    for trial in plan.trials:
        cursor, recipe = plan.cursors[trial.id], trial.recipe
        size = FLOAT * _parameters(plan, recipe) * (1 + slots(recipe.optimizer))
        keys = [*cursor.keys, *cursor.foreseen()]
        for key in checkpoint_retention.on_the_way(keys, plan.sweep.checkpoints) - {*keys[-1:]}:
            sizes[key] = size
    return sizes


def cache(plan: Plan) -> int:
    """Bytes of the decoded images of the plan's unfinished trials in the cache of each node."""
    recipes = {t.recipe.settings.data: t.recipe for t in plan.unfinished}
    return sum(_images(plan.root_facts.description(recipe)) for recipe in recipes.values())


def _images(description: Description) -> int:
    return (description.train + description.validation + description.test) * prod(description.shape)


def _parameters(plan: Plan, recipe: Recipe) -> int:
    description = plan.root_facts.description(recipe)
    return vgg.parameters(recipe.settings.model, description.shape, len(description.classes))


PROCESS = 800 * 2**20
"""Bytes of a worker before it has a model: Python, Ray and TensorFlow."""
COPIES = 5
"""Copies of weights and slots at one time, at most: the values, gradients, TensorFlow's copies of both, and, while
a checkpoint is written, a copy and its bytes."""
PASSES = 2
"""Copies of the convolutions' outputs: one in the forward pass, one in the backward pass."""


def memory(plan: Plan, recipe: Recipe) -> int:
    """About how many bytes of memory a worker needs that trains `recipe`.

        PROCESS + COPIES x 4 x parameters x (1 + slots) + PASSES x 4 x images at a time x outputs of convolutions
                + 3 x images on their way (64 MiB, or the epoch where that is less)
                + 4 x parameters x slots of up to seven other optimizers that the worker keeps warm

    Measured peaks on CPU were 0.90 to 1.02 times this: widths 0.0625 to 1, 32 to 224 pixels, batches of 16 to
    256, SGD and Adam. On a GPU weights and activations are on the device, and the machine itself needs less.
    """
    description = plan.root_facts.description(recipe)
    images = plan.root_facts.division(recipe).microbatch
    outputs = sum(layer.outputs for layer in layers(recipe.settings.model, description.shape))
    weights = FLOAT * _parameters(plan, recipe)
    other_devices = {
        repr(replace(t.recipe.optimizer, learning_rate=0.0, decay=0.0)): t.recipe.optimizer for t in plan.trials
    }
    warm = sum(sorted((slots(optimizer) for optimizer in other_devices.values()), reverse=True)[1:TRAIN_STEPS])
    moving = 3 * min(CHUNK_BYTES, _images(description))
    return int(
        PROCESS
        + weights * (COPIES * (1 + slots(recipe.optimizer)) + warm)
        + PASSES * FLOAT * images * outputs
        + moving
    )
