"""A warm Keras trainer: it compiles once for each optimizer, resets in place, and trains one epoch at a time.

The result of an epoch depends only on the state before it, its learning rates, and the job. Weights, batch order,
augmentation and dropout are drawn from (seed, epoch), never from global state. The loss is Keras's sparse
categorical cross-entropy of the float32 logits, the mean over the images of a batch.
"""

import gc
import socket
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from experiments import datasets, optimizers
from experiments import lr_range_test as range_test
from experiments.models import vgg
from experiments.optimizers import cycled_momentum
from experiments.settings import InputError
from experiments.training import backends
from experiments.training import state as variables
from experiments.training.epoch_loop import Totals, run
from experiments.training.microbatches import chunks, cut, division, largest_microbatch

STEPS_PER_CHECK = 20
"""Weight steps of a range test between two checks of the loss."""
MODELS, TRAIN_STEPS, DATASETS = 2, 8, 4
"""How many stay in memory for the next trials; TRAIN_STEPS for each model."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that decides a trial's numbers, except the learning rates.

    `batch_size` counts images, "full" is all of them; `precision` is one of `vgg.PRECISIONS`. With
    `cycles_momentum` every epoch takes a momentum besides its learning rates. `fingerprint` is that of the
    expected data, None for any.
    """

    data: datasets.Data
    model: vgg.Model
    optimizer: optimizers.Optimizer
    batch_size: int | Literal["full"]
    seed: int
    precision: str
    deterministic: bool
    cycles_momentum: bool = False
    fingerprint: str | None = None


class Trainer:
    """One in each process. Call `reset` first, then `epoch` in order; or `restore` and continue from that epoch.

    `device` is "cpu" or the GPU's name, set by the first `reset`. `losses`, float32 [steps], is the mean loss of
    each batch in the last epoch, before that batch's weight step; NaN for a batch that was not trained.
    """

    device: str
    losses: NDArray[np.float32]

    def __init__(self, threads: int, cache: Path, progress: Callable[[int, int], None] | None = None) -> None:
        self._threads, self._cache, self._progress = threads, cache, progress
        self._datasets = _RecentlyUsed[datasets.Dataset](DATASETS)
        self._models = _RecentlyUsed[tuple[backends.CompiledModel, _TrainSteps]](MODELS)

    def reset(self, job: Job) -> None:
        """Begin `job` with fresh weights of its seed and a fresh optimizer; compiled functions are used again.

        Raises InputError for data that cannot be loaded or has another fingerprint. Also for a number of threads
        or a determinism that this process can no longer have.
        """
        self._backend = backends.start(self._threads, job.deterministic, self._cache)
        self.device = self._backend.device
        self._job = job
        self._data = self._datasets.get(job.data, lambda: datasets.load(job.data, self._cache, self._progress))
        if job.fingerprint not in (None, self._data.description.fingerprint):
            raise InputError(
                f"data.path: {job.data.path} holds other images on {socket.gethostname()} than where the run was "
                "started, or they have changed since; make them the same, then run the same command again"
            )
        shape, classes = self._data.images.shape[1:], len(self._data.description.classes)
        divided = division(job.batch_size, len(self._data.train), *shape[:2])
        self._batch, self._microbatch = divided.batch, divided.microbatch
        self._model, train_steps = self._models.get(
            (job.model, shape, classes, job.precision),
            lambda: (self._backend.compile_model(self._build(shape, classes)), _RecentlyUsed(TRAIN_STEPS)),
        )
        for variable, value in zip(self._model.keras.weights, self._initial_weights(), strict=True):
            variable.assign(value)
        # Built on the fresh weights, because a slot may start as a copy of its weight.
        fresh = self._new_optimizer()
        accumulates = self._microbatch < self._batch
        self._train_step, self._optimizer = train_steps.get(
            (*_identity(job.optimizer), accumulates, job.cycles_momentum),
            lambda: (self._backend.compile_train_step(self._model, fresh, accumulates), fresh),
        )
        if self._optimizer is not fresh:
            variables.copy_optimizer(fresh, self._optimizer)

    @property
    def steps(self) -> int:
        """Weight steps in an epoch: one for each batch, of which the last may be smaller."""
        return -(-len(self._data.train) // self._batch)

    def epoch(
        self, n: int, learning_rates: NDArray[np.float32], momentum: NDArray[np.float32] | None = None
    ) -> dict[str, float]:
        """Train epoch `n` with `learning_rates`, float32 [steps], then validate and test.

        `momentum`, of the same shape, belongs to a job that cycles it, and to no other.

        Gives loss and accuracy, means over the epoch, each image before its batch's weight step; val_loss and
        val_accuracy, with the averaged weights where the optimizer keeps an average; test_loss and test_accuracy
        with the same weights, where the data has a test set; and images, the number trained.

        Training ends with the first batch whose loss is not finite. Then loss is not finite, and the metrics of
        validation and test are NaN. The same holds where the epoch leaves a weight, an average or a slot that is
        not finite, even if the loss is finite.

        Raises InputError for a wrong number of learning rates or of momentum.
        """
        self._require_one_a_step(n, "learning rates", learning_rates)
        if momentum is not None:
            self._require_one_a_step(n, "momenta", momentum)
        if (momentum is not None) != self._job.cycles_momentum:
            raise InputError(
                f"epoch {n}: a momentum belongs to a job with cycles_momentum, and only there, "
                f"got {momentum} for cycles_momentum={self._job.cycles_momentum}"
            )
        self._seed_random_layers(n)
        trained = self._train(n, learning_rates, range(self.steps), momentum)
        self.losses = trained.by_step
        result: dict[str, float] = {"loss": trained.loss, "accuracy": trained.accuracy}
        held_out = {"val": self._data.validation, "test": self._data.test}
        measured = {name: images for name, images in held_out.items() if len(images)}
        result |= {f"{name}_{metric}": np.nan for name in measured for metric in ("loss", "accuracy")}
        result["images"] = trained.images
        if np.isfinite(trained.loss) and not self._backend.finite(self._variables().values()):
            result["loss"] = np.nan
        if np.isfinite(result["loss"]):
            with self._averaged_weights():
                for name, images in measured.items():
                    totals = self._evaluate(images)
                    result |= {f"{name}_loss": totals.loss, f"{name}_accuracy": totals.accuracy}
        return result

    def _train(
        self,
        n: int,
        learning_rates: NDArray[np.float32],
        steps: range,
        momentum: NDArray[np.float32] | None = None,
    ) -> Totals:
        """Train the consecutive weight steps `steps` of epoch `n`, with the rates float32 [steps of the epoch]."""
        job, data = self._job, self._data
        images = data.train[datasets.order(len(data.train), job.seed, n)]

        def gather(positions: NDArray[np.int64]) -> NDArray[np.uint8]:
            batch = data.images[images[positions]]
            return datasets.augment(batch, job.data.augmentation, job.seed, n, positions)

        microbatches = cut(len(images), self._batch, self._microbatch).of_steps(steps)
        minimum_length = min(STEPS_PER_CHECK, self.steps) if self._microbatch == self._batch else 1
        gathered = chunks(
            microbatches, gather, data.labels[images], learning_rates, momentum, minimum_length=minimum_length
        )
        return run(self._train_step.train, gathered, microbatches)

    def range_test(self, learning_rates: NDArray[np.float32]) -> NDArray[np.float32]:
        """The loss at every step of a ramp of `learning_rates`, float32 [n], from the present weights.

        Float32 [m], m <= n: the test ends when the loss explodes (`experiments.lr_range_test.exploded`), or with
        the step that leaves a value which is not finite. Batches are those of epochs 0, 1, …. The weights stay
        changed, so call `reset` before and after.
        """
        losses = np.zeros(0, np.float32)
        length = STEPS_PER_CHECK
        while len(losses) < len(learning_rates):
            n, first = divmod(len(losses), self.steps)
            if not first:
                self._seed_random_layers(n)
            steps = range(first, min(first + length, self.steps, first + len(learning_rates) - len(losses)))
            rates = np.zeros(self.steps, np.float32)
            rates[steps.start : steps.stop] = learning_rates[len(losses) : len(losses) + len(steps)]
            resettable = self._variables() | variables.seed_variables(self._model.keras)
            before = variables.read(resettable)
            measured = self._train(n, rates, steps).by_step
            finite = self._backend.finite(self._variables().values())
            if not finite and len(steps) > 1:
                # Repeat step by step, to know which step it was.
                variables.write(resettable, before)
                length = 1
                continue
            losses = np.append(losses, measured)
            end = range_test.exploded(losses)
            if end is not None:
                return losses[:end]
            if not finite:
                return losses
        return losses

    def _require_one_a_step(self, n: int, name: str, row: NDArray[np.float32]) -> None:
        if row.shape != (self.steps,) or row.dtype != np.float32:
            raise InputError(
                f"epoch {n}: expected {self.steps} {name} as float32, one a step, got {row.dtype} {row.shape}"
            )

    def _evaluate(self, images: NDArray[np.int64]) -> Totals:
        """The loss and accuracy on `images`, indices [n] into the data, with the present weights."""
        data = self._data
        microbatches = cut(len(images), len(images), largest_microbatch(*data.images.shape[1:3]))
        unused = np.zeros(1, np.float32)
        gathered = chunks(
            microbatches, lambda positions: data.images[images[positions]], data.labels[images], unused
        )
        return run(self._model.evaluate, gathered, microbatches)

    def state(self) -> variables.State:
        """A copy of the weights, slots and counters by name, from which `restore` continues to the bit."""
        return variables.read(self._variables())

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Continue from `state`, of a trainer of the same job.

        Raises InputError, and changes nothing, when names, shapes or types differ.
        """
        variables.write(self._variables(), state)

    def save(self, path: Path) -> None:
        """Write the model with its present weights as a .keras file, which Keras opens without this project.

        The weights are their moving averages where the optimizer keeps an average. The model takes images as float
        in 0..1 and is not compiled. The write is not atomic.
        """
        with self._averaged_weights():
            self._model.keras.save(path)

    def _variables(self) -> dict[str, Any]:
        return variables.training_variables(self._model.keras, self._optimizer)

    def _build(self, shape: tuple[int, int, int], classes: int) -> Any:
        """The job's keras.Model for images of `shape`, with a layer "logits"."""
        return vgg.build(self._job.model, shape, classes, self._job.precision)

    def _initial_weights(self) -> Iterable[Any]:
        """The initial value of each of the model's `weights`, from the job's seed alone."""
        return vgg.initial_weights(self._model.keras, self._job.model, self._job.seed)

    def _new_optimizer(self) -> Any:
        from keras.optimizers import LossScaleOptimizer

        job, weights = self._job, self._model.keras.trainable_variables
        optimizer = optimizers.build(job.optimizer)
        optimizer.build(weights)
        if job.precision == "mixed_float16" and job.optimizer.settings["loss_scale_factor"] is None:
            # One that Keras builds does not hold the variables that its class adds to the slots: Nadam's product
            # of betas.
            optimizer = LossScaleOptimizer(optimizer, name="loss_scale")
            optimizer.build(weights)
        if job.cycles_momentum:
            cycled_momentum.cycle_momentum(getattr(optimizer, "inner_optimizer", optimizer), job.optimizer)
        return optimizer

    def _seed_random_layers(self, epoch: int) -> None:
        for index, state in enumerate(variables.seed_variables(self._model.keras).values()):
            words = np.random.SeedSequence((self._job.seed, epoch, index)).generate_state(2)
            state.assign(words.astype(state.dtype))

    @contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """Within the block the weights are their moving averages, where the optimizer keeps them (use_ema)."""
        inner: Any = getattr(self._optimizer, "inner_optimizer", self._optimizer)
        # Averages begin with the first step, and a scaled loss may skip every step of an epoch.
        if not self._job.optimizer.settings["use_ema"] or not inner.variables[0].numpy():
            yield
            return
        model = self._model.keras
        weights = [variables.value_of(variable) for variable in model.trainable_variables]
        self._optimizer.finalize_variable_values(model.trainable_variables)
        try:
            yield
        finally:
            for variable, value in zip(model.trainable_variables, weights, strict=True):
                variable.assign(value)


def _identity(optimizer: optimizers.Optimizer) -> tuple[Hashable, ...]:
    """The settings that a compiled train step depends on; the learning rate and its decay are inputs to it."""
    return optimizer.class_name, tuple(sorted(optimizer.settings.items()))


class _RecentlyUsed(Generic[T]):
    """A cache of the values used last, at most `size` of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        if key not in self._values:
            if len(self._values) >= self._size:
                self._values.popitem(last=False)
                # Compiled functions refer to themselves, and to their optimizers' slots.
                gc.collect()
            self._values[key] = make()
        self._values.move_to_end(key)
        return self._values[key]


_TrainSteps = _RecentlyUsed[tuple[backends.TrainStep, Any]]
