"""Weight steps on jax, for GPUs: a loop inside one compiled function. Needs no TensorFlow."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.optimizers.cycled_momentum import momentum_variable
from experiments.settings import InputError
from experiments.training.backends import PendingSums, Sums, compile_cache
from experiments.training.backends.lean_imports import JAX_EXTRAS, without
from experiments.training.microbatches import Chunk

Compute = Callable[[Any, Any], tuple[Any, Any, Any]]


def start(threads: int, deterministic: bool, cache: Path | None) -> "Backend":
    """Start jax in this process, with its compile cache below `cache`.

    Raises InputError when jax already runs in this process, because its settings are others.
    """
    flags = [os.environ.get("XLA_FLAGS", "")]
    if deterministic:
        flags.append("--xla_gpu_deterministic_ops=true")
    if threads == 1:
        flags.append("--xla_cpu_multi_thread_eigen=false")
    os.environ["XLA_FLAGS"] = " ".join(flags).strip()
    # XLA sizes its pool of CPU threads by this.
    os.environ["NPROC"] = str(threads)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    with without(*JAX_EXTRAS):
        import jax

    try:
        jax.config.update("jax_num_cpu_devices", 1)
    except RuntimeError:
        raise InputError(f"trainer: jax already runs in this process, not with {threads} threads") from None
    compile_cache.use(cache, threads)
    device = jax.devices()[0]
    return Backend("cpu" if device.platform == "cpu" else str(device.device_kind))


@dataclass(frozen=True)
class Backend:
    """jax, started."""

    device: str

    def compile_model(self, model: Any) -> "CompiledModel":
        """Compile `model`, a keras.Model with a layer "logits"."""
        return CompiledModel(model)

    def compile_train_step(self, model: "CompiledModel", optimizer: Any, accumulates: bool) -> "TrainStep":
        """Compile the weight step of `model` with `optimizer`, built; see `backends.Backend`."""
        return TrainStep(model, optimizer, accumulates)

    def finite(self, variables: Iterable[Any]) -> bool:
        """Whether every value of these Keras variables is a finite number."""
        if self.device == "cpu":
            return all(np.isfinite(np.asarray(variable.value)).all() for variable in variables)
        answers = [_all_finite()(variable.value) for variable in variables]
        return all(bool(answer) for answer in answers)


class CompiledModel:
    """A Keras model as a function of its values."""

    def __init__(self, model: Any) -> None:
        import keras

        self.keras = model
        self._trainable, self._non_trainable = model.trainable_variables, model.non_trainable_variables
        self._logits = keras.Model(model.input, model.get_layer("logits").output)
        self._evaluate = _compiled(self._evaluation, replaces=False)

    def evaluate(self, chunk: Chunk) -> PendingSums:
        """The sums without dropout and without a weight step."""
        *result, _values = self._evaluate(chunk.rows, chunk.columns(), self.values())
        return _pending_sums(result)

    def values(self) -> tuple[list[Any], list[Any]]:
        """The trainable and the other values of the Keras variables."""
        return _values(self._trainable), _values(self._non_trainable)

    def assign(self, trainable: list[Any], non_trainable: list[Any]) -> None:
        """Put values back into the Keras variables."""
        _assign(self._trainable, trainable)
        _assign(self._non_trainable, non_trainable)

    def losses(self, trainable: Any, non_trainable: Any, microbatch: Any, training: bool) -> tuple[Any, Any, Any]:
        """The sum of the losses, how many are classified correctly, and the new other values."""
        import jax
        from jax import numpy as jnp
        from keras import StatelessScope

        images = microbatch["images"].astype(jnp.float32) * (1 / 255)
        # Not stateless_call: its order of variables is not that of the whole model, for which optimizers are
        # built.
        pairs = zip([*self._trainable, *self._non_trainable], [*trainable, *non_trainable], strict=True)
        with StatelessScope(list(pairs)) as scope:
            logits = self._logits(images, training=training)
        non_trainable = [scope.get_current_value(variable) for variable in self._non_trainable]
        likelihoods = jnp.take_along_axis(jax.nn.log_softmax(logits), microbatch["labels"][:, None], -1)[:, 0]
        is_correct = jnp.argmax(logits, -1) == microbatch["labels"]
        return -jnp.sum(likelihoods), jnp.sum(is_correct.astype(jnp.float32)), non_trainable

    def _evaluation(self, values: tuple[Any, Any], microbatch: Any) -> tuple[Any, Any, Any]:
        loss, correct, _non_trainable = self.losses(*values, microbatch, training=False)
        return loss, correct, values


class _Values(NamedTuple):
    trainable: list[Any]
    non_trainable: list[Any]
    optimizer: list[Any]
    sums: list[Any]


class TrainStep:
    """A weight step of a model with an optimizer: one compiled loop over the microbatches of a chunk."""

    def __init__(self, model: CompiledModel, optimizer: Any, accumulates: bool) -> None:
        from jax import numpy as jnp

        self._model, self._optimizer = model, optimizer
        schedule = {"learning_rates": optimizer.learning_rate, "momentum": momentum_variable(optimizer)}
        variables = enumerate(optimizer.variables)
        self._columns = {i: column for i, v in variables for column, variable in schedule.items() if v is variable}
        weights = model.keras.trainable_variables if accumulates else []
        self._sums = [jnp.zeros(variable.shape, variable.dtype) for variable in weights]
        self._train = _compiled(self._microbatch, replaces=True)

    def train(self, chunk: Chunk) -> PendingSums:
        """One weight step for each batch in `chunk`."""
        values = _Values(*self._model.values(), _values(self._optimizer.variables), self._sums)
        *result, values = self._train(chunk.rows, chunk.columns(), values)
        self._model.assign(values.trainable, values.non_trainable)
        _assign(self._optimizer.variables, values.optimizer)
        self._sums = values.sums
        return _pending_sums(result)

    def _microbatch(self, values: _Values, microbatch: Any) -> tuple[Any, Any, _Values]:
        import jax
        from jax import numpy as jnp

        optimizer = list(values.optimizer)
        for index, column in self._columns.items():
            optimizer[index] = microbatch[column]
        scale = self._scale(optimizer)

        def scaled(trainable: Any) -> tuple[Any, Any]:
            loss, correct, non_trainable = self._model.losses(
                trainable, values.non_trainable, microbatch, training=True
            )
            return loss / microbatch["counts"] * scale, (loss, correct, non_trainable)

        gradients, (loss, correct, non_trainable) = jax.grad(scaled, has_aux=True)(values.trainable)
        apply = partial(self._optimizer.stateless_apply, optimizer)
        if not self._sums:
            trainable, optimizer = apply(gradients, values.trainable)
            return loss, correct, _Values(trainable, non_trainable, optimizer, [])
        pairs = zip(values.sums, gradients, strict=True)
        sums = [jnp.where(microbatch["first"], gradient, total + gradient) for total, gradient in pairs]
        trainable, optimizer = jax.lax.cond(
            microbatch["last"], lambda: apply(sums, values.trainable), lambda: (values.trainable, optimizer)
        )
        return loss, correct, _Values(trainable, non_trainable, optimizer, sums)

    def _scale(self, optimizer: list[Any]) -> Any:
        from jax import numpy as jnp
        from keras import StatelessScope

        with StatelessScope(zip(self._optimizer.variables, optimizer, strict=True)):
            return jnp.asarray(self._optimizer.scale_loss(1.0), jnp.float32)


def _compiled(compute: Compute, replaces: bool) -> Callable[..., Any]:
    """`compute` for one microbatch after the other, up to the first loss that is not finite.

    Takes the number of microbatches, their columns and the first values. Gives how many microbatches were
    computed, their losses and correct predictions, and the last values. With `replaces` those take the memory of
    the first.
    """
    import jax

    donated = 2 if replaces else ()
    if jax.default_backend() != "cpu":
        loop: Callable[..., Any] = jax.jit(partial(_loop, compute), donate_argnums=donated)
        return loop
    # On a CPU, XLA's convolutions are ten times slower inside a loop.
    step = jax.jit(compute, donate_argnums=0 if replaces else ())

    def one_by_one(total: int, columns: Any, values: Any) -> Any:
        losses, counts = [], []
        for index in range(total):
            loss, correct, values = step(values, {name: column[index] for name, column in columns.items()})
            losses.append(np.float32(loss))
            counts.append(np.float32(correct))
            if not np.isfinite(losses[-1]):
                break
        return len(losses), np.array(losses), np.array(counts), values

    return one_by_one


def _loop(compute: Compute, total: Any, columns: Any, values: Any) -> Any:
    import jax
    from jax import numpy as jnp

    def body(carry: Any) -> Any:
        index, _, losses, counts, values = carry
        loss, correct, values = compute(values, {name: column[index] for name, column in columns.items()})
        return index + 1, jnp.isfinite(loss), losses.at[index].set(loss), counts.at[index].set(correct), values

    empty = jnp.zeros(columns["counts"].shape[0], jnp.float32)
    computed, _, losses, counts, values = jax.lax.while_loop(
        lambda carry: (carry[0] < total) & carry[1], body, (0, True, empty, empty, values)
    )
    return computed, losses, counts, values


@cache
def _all_finite() -> Any:
    import jax
    from jax import numpy as jnp

    return jax.jit(lambda value: jnp.isfinite(value).all())


def _values(variables: list[Any]) -> list[Any]:
    return [variable.value for variable in variables]


def _assign(variables: list[Any], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _pending_sums(result: Any) -> PendingSums:
    def wait() -> Sums:
        computed, losses, correct = (np.asarray(array) for array in result)
        return Sums(losses[:computed], correct[:computed])

    return wait
