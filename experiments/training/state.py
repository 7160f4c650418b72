"""The values of a model and its optimizer: their names, reading, writing and copying."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.optimizers.cycled_momentum import CYCLED
from experiments.settings import InputError

State = dict[str, NDArray[Any]]


def training_variables(model: Any, optimizer: Any) -> dict[str, Any]:
    """Every Keras variable on which the next epochs depend, by a name that is the same in every process.

    First the weights, with moving statistics, then the optimizer's variables. Without the learning rate and a
    cycled momentum, which each step sets, and the states of random layers, which each epoch sets.
    """
    variables = {f"model/{index:03d}/{_stable(v.path)}": v for index, v in enumerate(model.weights)}
    for index, variable in enumerate(optimizer.variables):
        if variable.name not in ("learning_rate", CYCLED):
            variables[f"optimizer/{index:03d}/{_stable(variable.path.rsplit('/', 1)[-1])}"] = variable
    return variables


def _stable(path: str) -> str:
    """`path` without the numbers that Keras gives over a whole process to layers and variables without a name.

    >>> _stable("functional_3/conv2d_12/kernel"), _stable("block1_conv2_kernel_momentum")
    ('functional/conv2d/kernel', 'block1_conv2_kernel_momentum')
    """
    return re.sub(r"_\d+(?=[_/]|$)", "", path)


def seed_variables(model: Any) -> dict[str, Any]:
    """The state of every seed generator in `model` and its nested models, in a fixed order."""
    weights = {id(variable) for variable in model.weights}
    states = {id(v): v for v in model.variables if id(v) not in weights}
    return {f"seed/{index:03d}": state for index, state in enumerate(states.values())}


def read(variables: Mapping[str, Any]) -> State:
    """A copy of every value as a NumPy array."""
    return {name: value_of(variable) for name, variable in variables.items()}


def value_of(variable: Any) -> NDArray[Any]:
    """A copy of a Keras variable's value as a NumPy array."""
    # The backend may return its memory, which the next step overwrites.
    return np.array(variable.numpy())


def write(variables: Mapping[str, Any], state: Mapping[str, NDArray[Any]]) -> None:
    """Set every variable to its value in `state`.

    Raises InputError, and changes nothing, when names, shapes or types are not those of `variables`.
    """
    missing, foreign = variables.keys() - state.keys(), state.keys() - variables.keys()
    if missing or foreign:
        raise InputError(
            "state: of another model or optimizer: "
            f"missing are {len(missing)} values ({', '.join(sorted(missing)[:3])}), "
            f"unknown are {len(foreign)} ({', '.join(sorted(foreign)[:3])})"
        )
    for name, variable in variables.items():
        expected, actual = _kind(variable), _kind(state[name])
        if expected != actual:
            raise InputError(f"state: {name}: expected {expected}, got {actual}")
    for name, variable in variables.items():
        variable.assign(state[name])


def _kind(values: Any) -> str:
    return f"{values.dtype} {tuple(values.shape)}"


def copy_optimizer(source: Any, target: Any) -> None:
    """Set every variable of the optimizer `target` to its value in `source`, built alike on the same weights."""
    for target_variable, variable in zip(target.variables, source.variables, strict=True):
        target_variable.assign(variable.value)
