"""A momentum that a schedule cycles: one variable in the place of an optimizer's constant."""

from typing import Any

from experiments.optimizers.classes import MOMENTUM
from experiments.optimizers.optimizer import Optimizer

CYCLED = "cycled_momentum"
"""The name of the variable that stands for an optimizer's momentum where a schedule cycles it."""


def cycle_momentum(built: Any, optimizer: Optimizer) -> Any:
    """Put one variable in the place of the momentum of `built` (from `build`, and built on its weights).

    Each step assigns it, before it is read, and nothing is traced again. What Keras computes stays the same, but
    for numbers that it would have folded into the trace in double precision. That holds for the bias correction
    of Adam and its kin too: 1 - beta_1^step with the beta_1 of this step, as in PyTorch's OneCycleLR, which is
    exact for a constant beta_1 only and makes no difference after the first hundred steps (Nadam keeps the
    product of all its betas and is exact throughout).
    """
    import keras

    class Cycled(keras.Variable):
        """Above 0 at every step, which Keras's optimizers ask while they are traced."""

        def __ne__(self, other: object) -> bool:
            return True

        def __gt__(self, other: object) -> bool:
            return True

        __hash__ = keras.Variable.__hash__

    names = MOMENTUM[optimizer.class_name]
    start = getattr(built, names[0])
    variable = Cycled(start, dtype="float32", trainable=False, name=CYCLED)
    for name in names:
        setattr(built, name, variable)
    return variable


def momentum_variable(optimizer: Any) -> Any | None:
    """The variable that stands for the optimizer's momentum, if a schedule cycles it."""
    return next((variable for variable in optimizer.variables if variable.name == CYCLED), None)
