"""Training steps on TensorFlow: a loop inside one tf.function, one trace for every schedule."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.optimizers.cycled_momentum import momentum_variable
from experiments.settings import InputError
from experiments.training.backends import Measured, Pending
from experiments.training.microbatches import Chunk


def start(threads: int, deterministic: bool, cache: Path | None) -> "Backend":
    """Set up TensorFlow for this process; it keeps nothing in `cache`.

    Raises InputError when TensorFlow is already at work here with another number of threads.
    """
    del cache
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        raise InputError(f"trainer: TensorFlow already runs in this process, not with {threads} threads") from None
    # It counts the traces of different programs as one function's.
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
    """TensorFlow, set up; `jit` has XLA compile what is worth it."""

    device: str
    jit: bool

    def network(self, model: Any) -> "CompiledModel":
        """Compile `model`, a keras.Model with a layer "logits"."""
        return CompiledModel(model, self.jit)

    def program(self, network: "CompiledModel", optimizer: Any, several_parts: bool) -> "TrainStep":
        """Compile `network` with `optimizer`, built; a batch is one part, or several of them."""
        return TrainStep(network, optimizer, several_parts)

    def finite(self, variables: Iterable[Any]) -> bool:
        """Whether every value of these Keras variables is a finite number."""
        import tensorflow as tf

        values = [variable.value for variable in variables if variable.dtype.startswith(("float", "bfloat"))]
        return bool(tf.reduce_all([tf.reduce_all(tf.math.is_finite(value)) for value in values]))


class CompiledModel:
    """A Keras network with its forward and backward pass, traced once for all optimizers and batch sizes."""

    def __init__(self, model: Any, jit: bool) -> None:
        import keras
        import tensorflow as tf

        self.keras = model
        self.columns = _columns(model.input_shape[1:])
        self._logits = keras.Model(model.input, model.get_layer("logits").output)
        # A function of its own: the next optimizer traces little more than its update, and XLA, which pays on
        # a GPU, compiles this part alone.
        self.gradients = tf.function(self._gradients, autograph=False, jit_compile=jit)
        self._forward = tf.function(self._losses, autograph=False, jit_compile=jit)
        self._evaluate = tf.function(self._evaluation, autograph=False, input_signature=[self.columns])

    def evaluate(self, chunk: Chunk) -> Pending:
        """Losses and correct predictions, without dropout and without learning."""
        return _pending(self._evaluate(_used(chunk)))

    def _losses(self, images: Any, labels: Any, training: bool = False) -> tuple[Any, Any]:
        import tensorflow as tf

        logits = self._logits(tf.cast(images, tf.float32) * (1 / 255), training=training)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        hits = tf.equal(tf.argmax(logits, -1, tf.int32), labels)
        return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(hits, tf.float32))

    def _gradients(self, images: Any, labels: Any, count: Any, scale: Any) -> tuple[Any, Any, Any]:
        import tensorflow as tf

        weights = [variable.value for variable in self.keras.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            loss, correct = self._losses(images, labels, training=True)
            scaled = loss / count * scale
        return loss, correct, tape.gradient(scaled, weights)

    def _evaluation(self, columns: Mapping[str, Any]) -> Any:
        def part(images: Any, labels: Any, **_: Any) -> tuple[Any, Any]:
            loss, correct = self._forward(images, labels)
            return loss, correct

        return _loop(columns, part)


class TrainStep:
    """A network and an optimizer: one compiled loop over the parts of a chunk."""

    def __init__(self, network: CompiledModel, optimizer: Any, several_parts: bool) -> None:
        import tensorflow as tf

        self._network, self._optimizer = network, optimizer
        self._momentum = momentum_variable(optimizer)
        self._weights = network.keras.trainable_variables
        zeros = [tf.zeros(variable.shape, variable.dtype) for variable in self._weights]
        self._sums = [tf.Variable(zero, trainable=False) for zero in zeros] if several_parts else []
        self._train = tf.function(self._training, autograph=False, input_signature=[network.columns])

    def train(self, chunk: Chunk) -> Pending:
        """One weight step for each batch in `chunk`."""
        return _pending(self._train(_used(chunk)))

    def _training(self, columns: Mapping[str, Any]) -> Any:
        return _loop(columns, self._part)

    def _part(
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
        loss, correct, gradients = self._network.gradients(images, labels, counts, scale)
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
    """The types of a chunk's columns; neither the number of parts nor their size is in the trace."""
    import tensorflow as tf

    parts, size = None, None
    return {
        "images": tf.TensorSpec((parts, size, *image), tf.uint8),
        "labels": tf.TensorSpec((parts, size), tf.int32),
        "counts": tf.TensorSpec((parts,), tf.float32),
        "learning_rates": tf.TensorSpec((parts,), tf.float32),
        "momentum": tf.TensorSpec((parts,), tf.float32),
        "first": tf.TensorSpec((parts,), tf.bool),
        "last": tf.TensorSpec((parts,), tf.bool),
    }


def _used(chunk: Chunk) -> dict[str, Any]:
    return {name: column[: chunk.rows] for name, column in chunk.columns().items()}


def _loop(columns: Mapping[str, Any], compute: Any) -> Any:
    """`compute` for one part after the other, until one gives a loss that is not finite."""
    import tensorflow as tf

    parts = tf.shape(columns["counts"])[0]

    def body(part: Any, _: Any, losses: Any, correct: Any) -> tuple[Any, ...]:
        loss, hits = compute(**{name: column[part] for name, column in columns.items()})
        return part + 1, tf.math.is_finite(loss), losses.write(part, loss), correct.write(part, hits)

    done, _, losses, correct = tf.while_loop(
        lambda part, finite, *_: (part < parts) & finite,
        body,
        (0, True, *(tf.TensorArray(tf.float32, parts, element_shape=()) for _ in range(2))),
        # Each step reads the weights that the one before has written.
        parallel_iterations=1,
    )
    return done, losses.stack(), correct.stack()


def _pending(result: Any) -> Pending:
    def wait() -> Measured:
        done, losses, correct = (tensor.numpy() for tensor in result)
        return Measured(losses[:done], correct[:done])

    return wait
