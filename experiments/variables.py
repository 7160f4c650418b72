"""The values of a network and its optimizer: where they start, how they are read and written."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.checks import InputError

State = dict[str, NDArray[Any]]

CYCLED = "cycled_momentum"
"""The name of the variable that stands for an optimizer's momentum where a schedule cycles it."""


def named(network: Any, optimizer: Any) -> dict[str, Any]:
    """Every Keras variable that decides how training goes on, by a name that is the same in every process.

    Left out are the learning rate and a cycled momentum, which each step sets, and the states of random layers,
    which each epoch sets.
    """
    result = {f"model/{variable.path}": variable for variable in network.weights}
    for index, variable in enumerate(optimizer.variables):
        if variable is not optimizer.learning_rate and variable.name != CYCLED:
            # Keras numbers the variables that an optimizer does not name, over the whole process.
            name = re.sub(r"^variable(_\d+)?$", "value", variable.path.rsplit("/", 1)[-1])
            result[f"optimizer/{index:03d}/{name}"] = variable
    return result


def cycled_momentum(optimizer: Any) -> Any | None:
    """The variable that stands for the optimizer's momentum, if a schedule cycles it."""
    return next((variable for variable in optimizer.variables if variable.name == CYCLED), None)


def read(variables: Mapping[str, Any]) -> State:
    """A copy of every value as a NumPy array."""
    return {name: value_of(variable) for name, variable in variables.items()}


def value_of(variable: Any) -> NDArray[Any]:
    """A copy of a Keras variable's value as a NumPy array."""
    # What the backend gives may be its own memory, which the next step overwrites.
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
        expected, got = _kind(variable), _kind(state[name])
        if expected != got:
            raise InputError(f"state: {name}: expected {expected}, got {got}")
    for name, variable in variables.items():
        variable.assign(state[name])


def _kind(values: Any) -> str:
    return f"{values.dtype} {tuple(values.shape)}"


class Start:
    """What an optimizer's variables are before the first step, remembered right after it was built.

    A value is kept as a number where it is the same everywhere, and as the weight it is a copy of where it is
    one (ScheduleFreeAdamW): fresh weights need fresh copies.
    """

    def __init__(self, network: Any, optimizer: Any) -> None:
        weights = [(variable, value_of(variable)) for variable in network.trainable_variables]
        self._values = [(v, _source(value_of(v), weights)) for v in optimizer.variables]

    def restore(self) -> None:
        """Set the optimizer's variables back. The network's weights must be fresh already."""
        from keras import ops

        for variable, source in self._values:
            if isinstance(source, float | int):
                variable.assign(ops.full(variable.shape, source, dtype=variable.dtype))
            else:
                # A copy: two variables that share their memory cannot both be donated to a step.
                variable.assign(ops.copy(source))


def _source(value: NDArray[Any], weights: list[tuple[Any, NDArray[Any]]]) -> Any:
    if np.all(value == value.flat[0]):
        return value.flat[0].item()
    copies = (variable for variable, array in weights if np.array_equal(array, value))
    return next(copies, value)
