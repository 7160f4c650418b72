"""Weight steps on TensorFlow: a loop inside one tf.function, one trace for every schedule."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.optimizers.cycled_momentum import momentum_variable
from experiments.settings import InputError
from experiments.training.backends import PendingSums, Sums
from experiments.training.microbatches import Chunk


def start(threads: int, deterministic: bool, cache: Path | None) -> "Backend":
    """Start TensorFlow in this process; it keeps nothing in `cache`.

    Raises InputError when TensorFlow already runs in this process with another number of threads.
    """
    del cache
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        raise InputError(f"trainer: TensorFlow already runs in this process, not with {threads} threads") from None
    # It warns of too many traces: it counts those of different train steps as one function's.
    tf.get_logger().setLevel("ERROR")
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    # It costs nothing on a CPU, and cannot be taken back.
    if deterministic or not gpus:
        tf.config.experimental.enable_op_determinism()
    if not gpus:
        return Backend("cpu", jit=False)
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "gpu")
    # As Keras decides: XLA pays on a GPU, and makes no promise to be deterministic.
    return Backend(str(name), jit=not deterministic)


@dataclass(frozen=True)
class Backend:
    """TensorFlow, started; with `jit` XLA compiles the forward and the backward pass."""

    device: str
    jit: bool

    def compile_model(self, model: Any) -> "CompiledModel":
        """Compile `model`, a keras.Model with a layer "logits"."""
        return CompiledModel(model, self.jit)

    def compile_train_step(self, model: "CompiledModel", optimizer: Any, accumulates: bool) -> "TrainStep":
        """Compile the weight step of `model` with `optimizer`, built; see `backends.Backend`."""
        return TrainStep(model, optimizer, accumulates)

    def finite(self, variables: Iterable[Any]) -> bool:
        """Whether every value of these Keras variables is a finite number."""
        import tensorflow as tf

        values = [variable.value for variable in variables if variable.dtype.startswith(("float", "bfloat"))]
        return bool(tf.reduce_all([tf.reduce_all(tf.math.is_finite(value)) for value in values]))


class CompiledModel:
    """A Keras model with its forward and backward pass, traced once for all optimizers and batch sizes."""

    def __init__(self, model: Any, jit: bool) -> None:
        import keras
        import tensorflow as tf

        self.keras = model
        self.columns = _columns(model.input_shape[1:])
        self._logits = keras.Model(model.input, model.get_layer("logits").output)
        # Functions of their own: the next optimizer traces little more than its update, and XLA, which pays on a
        # GPU, compiles these alone.
        self.gradients = tf.function(self._gradients, autograph=False, jit_compile=jit)
        self._forward = tf.function(self._losses, autograph=False, jit_compile=jit)
        self._evaluate = tf.function(self._evaluation, autograph=False, input_signature=[self.columns])

    def evaluate(self, chunk: Chunk) -> PendingSums:
        """The sums without dropout and without a weight step."""
        return _pending_sums(self._evaluate(_used(chunk)))

    def _losses(self, images: Any, labels: Any, training: bool = False) -> tuple[Any, Any]:
        import tensorflow as tf

        logits = self._logits(tf.cast(images, tf.float32) * (1 / 255), training=training)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        is_correct = tf.equal(tf.argmax(logits, -1, tf.int32), labels)
        return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(is_correct, tf.float32))

    def _gradients(self, images: Any, labels: Any, count: Any, scale: Any) -> tuple[Any, Any, Any]:
        import tensorflow as tf

        weights = [variable.value for variable in self.keras.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            loss, correct = self._losses(images, labels, training=True)
            scaled = loss / count * scale
        return loss, correct, tape.gradient(scaled, weights)

    def _evaluation(self, columns: Mapping[str, Any]) -> Any:
        def microbatch(images: Any, labels: Any, **_: Any) -> tuple[Any, Any]:
            loss, correct = self._forward(images, labels)
            return loss, correct

        return _loop(columns, microbatch)


class TrainStep:
    """A weight step of a model with an optimizer: one compiled loop over the microbatches of a chunk."""

    def __init__(self, model: CompiledModel, optimizer: Any, accumulates: bool) -> None:
        import tensorflow as tf

        self._model, self._optimizer = model, optimizer
        self._momentum = momentum_variable(optimizer)
        self._weights = model.keras.trainable_variables
        zeros = [tf.zeros(variable.shape, variable.dtype) for variable in self._weights]
        self._sums = [tf.Variable(zero, trainable=False) for zero in zeros] if accumulates else []
        self._train = tf.function(self._training, autograph=False, input_signature=[model.columns])

    def train(self, chunk: Chunk) -> PendingSums:
        """One weight step for each batch in `chunk`."""
        return _pending_sums(self._train(_used(chunk)))

    def _training(self, columns: Mapping[str, Any]) -> Any:
        return _loop(columns, self._microbatch)

    def _microbatch(
        self,
        images: Any,
        labels: Any,
        *,
        counts: Any,
        learning_rates: Any,
        momentum: Any,
        first: Any,
        last: Any,
    ) -> tuple[Any, Any]:
        import tensorflow as tf

        scale = tf.cast(self._optimizer.scale_loss(tf.constant(1.0)), tf.float32)
        loss, correct, gradients = self._model.gradients(images, labels, counts, scale)
        if not self._sums:
            self._step(learning_rates, momentum, gradients)
            return loss, correct
        for total, gradient in zip(self._sums, gradients, strict=True):
            total.assign(tf.where(first, gradient, total + gradient))
        tf.cond(last, lambda: self._step(learning_rates, momentum, list(self._sums)), lambda: None)
        return loss, correct

    def _step(self, learning_rate: Any, momentum: Any, gradients: Any) -> None:
        self._optimizer.learning_rate.assign(learning_rate)
        if self._momentum is not None:
            self._momentum.assign(momentum)
        self._optimizer.apply(gradients, self._weights)


def _columns(image: tuple[int, int, int]) -> dict[str, Any]:
    """The types of a chunk's columns; neither the number of microbatches nor their size is in the trace."""
    import tensorflow as tf

    count, size = None, None
    return {
        "images": tf.TensorSpec((count, size, *image), tf.uint8),
        "labels": tf.TensorSpec((count, size), tf.int32),
        "counts": tf.TensorSpec((count,), tf.float32),
        "learning_rates": tf.TensorSpec((count,), tf.float32),
        "momentum": tf.TensorSpec((count,), tf.float32),
        "first": tf.TensorSpec((count,), tf.bool),
        "last": tf.TensorSpec((count,), tf.bool),
    }


def _used(chunk: Chunk) -> dict[str, Any]:
    return {name: column[: chunk.rows] for name, column in chunk.columns().items()}


def _loop(columns: Mapping[str, Any], compute: Any) -> Any:
    """`compute` for one microbatch after the other, up to the first loss that is not finite."""
    import tensorflow as tf

    total = tf.shape(columns["counts"])[0]

    def body(index: Any, _: Any, losses: Any, correct: Any) -> tuple[Any, ...]:
        loss, count = compute(**{name: column[index] for name, column in columns.items()})
        return index + 1, tf.math.is_finite(loss), losses.write(index, loss), correct.write(index, count)

    computed, _, losses, correct = tf.while_loop(
        lambda index, finite, *_: (index < total) & finite,
        body,
        (0, True, *(tf.TensorArray(tf.float32, total, element_shape=()) for _ in range(2))),
        # Each step reads the weights that the step before wrote.
        parallel_iterations=1,
    )
    return computed, losses.stack(), correct.stack()


def _pending_sums(result: Any) -> PendingSums:
    def wait() -> Sums:
        computed, losses, correct = (tensor.numpy() for tensor in result)
        return Sums(losses[:computed], correct[:computed])

    return wait
