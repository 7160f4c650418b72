"""A warm Keras trainer: compiled once per optimizer, started afresh in place, one epoch at a time.

What an epoch gives depends only on the state before it, its learning rates, and the job: weights, batch order,
augmentation and dropout are drawn from (seed, epoch), never from global state. The loss is Keras's sparse
categorical cross-entropy, the mean over a batch's images, of the logits in float32.
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
from experiments.training.microbatches import chunks, cut, division, largest_part

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")

PIECE = 20  # weight steps of a range test between two looks at the loss

MODELS, PROGRAMS, DATASETS = 2, 8, 4  # kept warm; the programs of each model

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """What is trained: everything that decides the numbers but the learning rates.

    `batch_size` counts images, "full" is all of them; `precision` is one of PRECISIONS. With `cycles_momentum`
    every epoch is given a momentum beside its learning rates. `fingerprint` is what the data has to have, where
    that is known.
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
    """One per process. Call `reset` first; then `epoch` in order, or `restore` and go on from there.

    `device` is "cpu" or the GPU's name, known from the first `reset` on. `losses`, float32 [steps], is the mean
    loss of each batch in the last epoch, as it was before that batch's weight step; NaN where none was made.
    """

    device: str
    losses: NDArray[np.float32]

    def __init__(self, threads: int, cache: Path, progress: Callable[[int, int], None] | None = None) -> None:
        self._threads, self._cache, self._progress = threads, cache, progress
        self._datasets = _Recent[datasets.Dataset](DATASETS)
        self._networks = _Recent[tuple[backends.CompiledModel, _Programs]](MODELS)

    def reset(self, job: Job) -> None:
        """Begin `job`: fresh weights of its seed, a fresh optimizer. What is compiled for it is used again.

        Raises InputError for data that cannot be loaded or is not what it has to be, and for a number of threads
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
        self._batch, self._part = divided.batch, divided.part
        self._network, programs = self._networks.get(
            (job.model, shape, classes, job.precision),
            lambda: (self._backend.network(self._build(shape, classes)), _Recent(PROGRAMS)),
        )
        for variable, value in zip(self._network.keras.weights, self._initial_weights(), strict=True):
            variable.assign(value)
        # Built on the fresh weights, because a slot may start as a copy of its weight.
        fresh = self._new_optimizer()
        several = self._part < self._batch
        self._program, self._optimizer = programs.get(
            (*_identity(job.optimizer), several, job.cycles_momentum),
            lambda: (self._backend.program(self._network, fresh, several), fresh),
        )
        if self._optimizer is not fresh:
            variables.copy(fresh, self._optimizer)

    @property
    def steps(self) -> int:
        """Weight steps in an epoch: batches, the last one may be smaller."""
        return -(-len(self._data.train) // self._batch)

    def epoch(
        self, n: int, learning_rates: NDArray[np.float32], momentum: NDArray[np.float32] | None = None
    ) -> dict[str, float]:
        """Train epoch `n` with `learning_rates`, float32 [steps], then validate.

        `momentum`, of the same form, is given where the job cycles it, and only there.

        Gives loss, accuracy (means over the epoch, each image as the model was before learning from its batch),
        val_loss, val_accuracy (with the averaged weights, where the optimizer keeps an average) and images (how
        many were trained on). Training ends with the first batch whose loss is not finite; then loss is not
        finite either and the validation metrics are NaN. So it is after an epoch that leaves a weight, an average
        or another value of the optimizer that is not finite, whatever the loss was: it need not show in the loss.

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
        result |= {"val_loss": np.nan, "val_accuracy": np.nan, "images": trained.images}
        if np.isfinite(trained.loss) and not self._backend.finite(self._variables().values()):
            result["loss"] = np.nan
        if np.isfinite(result["loss"]):
            with self._averaged_weights():
                result |= self._validate()
        return result

    def _train(
        self,
        n: int,
        learning_rates: NDArray[np.float32],
        steps: range,
        momentum: NDArray[np.float32] | None = None,
    ) -> Totals:
        """Train the weight steps `steps` (a run of them) of epoch `n`, each with its rate in float32 [steps]."""
        job, data = self._job, self._data
        images = data.train[datasets.order(len(data.train), job.seed, n)]

        def gather(positions: NDArray[np.int64]) -> NDArray[np.uint8]:
            batch = data.images[images[positions]]
            return datasets.augment(batch, job.data.augmentation, job.seed, n, positions)

        parts = cut(len(images), self._batch, self._part).of_steps(steps)
        at_least = min(PIECE, self.steps) if self._part == self._batch else 1
        cut_up = chunks(parts, gather, data.labels[images], learning_rates, momentum, at_least=at_least)
        return run(self._program.train, cut_up, parts)

    def range_test(self, learning_rates: NDArray[np.float32]) -> NDArray[np.float32]:
        """The loss at every step of a ramp of `learning_rates`, float32 [n], from the weights as they are.

        Float32 [m], m <= n: it ends when the loss leaves all bounds (`experiments.lr_range_test.exploded`), and with
        the step that leaves a value which is not finite. Batches are those of epochs 0, 1, …; what is trained
        stays, so `reset` before and after.
        """
        losses = np.zeros(0, np.float32)
        piece = PIECE
        while len(losses) < len(learning_rates):
            n, first = divmod(len(losses), self.steps)
            if not first:
                self._seed_random_layers(n)
            steps = range(first, min(first + piece, self.steps, first + len(learning_rates) - len(losses)))
            rates = np.zeros(self.steps, np.float32)
            rates[steps.start : steps.stop] = learning_rates[len(losses) : len(losses) + len(steps)]
            everything = self._variables() | variables.seeds(self._network.keras)
            before = variables.read(everything)
            measured = self._train(n, rates, steps).by_step
            finite = self._backend.finite(self._variables().values())
            if not finite and len(steps) > 1:
                # Once more, step by step: which was it?
                variables.write(everything, before)
                piece = 1
                continue
            losses = np.append(losses, measured)
            end = range_test.exploded(losses)
            if end is not None:
                return losses[:end]
            if not finite:
                return losses
        return losses

    def _require_one_a_step(self, n: int, what: str, row: NDArray[np.float32]) -> None:
        if row.shape != (self.steps,) or row.dtype != np.float32:
            raise InputError(
                f"epoch {n}: expected {self.steps} {what} as float32, one a step, got {row.dtype} {row.shape}"
            )

    def _validate(self) -> dict[str, float]:
        data = self._data
        parts = cut(len(data.validation), len(data.validation), largest_part(*data.images.shape[1:3]))
        unused = np.zeros(1, np.float32)
        images, labels = data.validation, data.labels[data.validation]
        cut_up = chunks(parts, lambda positions: data.images[images[positions]], labels, unused)
        measured = run(self._network.evaluate, cut_up, parts)
        return {"val_loss": measured.loss, "val_accuracy": measured.accuracy}

    def state(self) -> variables.State:
        """All that `restore` needs to go on to the bit: weights, slots and counters by name, copied."""
        return variables.read(self._variables())

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from `state`, taken from a trainer of the same job.

        Raises InputError, and changes nothing, when names, shapes or types differ.
        """
        variables.write(self._variables(), state)

    def save(self, path: Path) -> None:
        """Write the model, with its weights as they are now, as a .keras file that Keras opens by itself.

        The weights are the averaged ones where the optimizer keeps an average. The model takes images as float
        in 0..1 and is not compiled. Not atomic.
        """
        with self._averaged_weights():
            self._network.keras.save(path)

    def _variables(self) -> dict[str, Any]:
        return variables.named(self._network.keras, self._optimizer)

    def _build(self, shape: tuple[int, int, int], classes: int) -> Any:
        """The job's keras.Model for images of `shape`, with a layer "logits"."""
        return vgg.build(self._job.model, shape, classes, self._job.precision)

    def _initial_weights(self) -> Iterable[Any]:
        """What each of the model's `weights` starts from, by the job's seed alone."""
        return vgg.initial_weights(self._network.keras, self._job.model, self._job.seed)

    def _new_optimizer(self) -> Any:
        from keras.optimizers import LossScaleOptimizer

        job, weights = self._job, self._network.keras.trainable_variables
        optimizer = optimizers.build(job.optimizer)
        optimizer.build(weights)
        if job.precision == "mixed_float16" and job.optimizer.settings["loss_scale_factor"] is None:
            # One that it builds itself does not count what its class adds to the slots: Nadam's product of betas.
            optimizer = LossScaleOptimizer(optimizer, name="loss_scale")
            optimizer.build(weights)
        if job.cycles_momentum:
            cycled_momentum.cycle_momentum(getattr(optimizer, "inner_optimizer", optimizer), job.optimizer)
        return optimizer

    def _seed_random_layers(self, epoch: int) -> None:
        for index, state in enumerate(variables.seeds(self._network.keras).values()):
            words = np.random.SeedSequence((self._job.seed, epoch, index)).generate_state(2)
            state.assign(words.astype(state.dtype))

    @contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """Within, the weights are their moving averages, where the optimizer keeps them (use_ema)."""
        inner: Any = getattr(self._optimizer, "inner_optimizer", self._optimizer)
        # Averages begin with the first step, and a scaled loss may skip every step of an epoch.
        if not self._job.optimizer.settings["use_ema"] or not inner.variables[0].numpy():
            yield
            return
        network = self._network.keras
        own = [variables.value_of(variable) for variable in network.trainable_variables]
        self._optimizer.finalize_variable_values(network.trainable_variables)
        try:
            yield
        finally:
            for variable, value in zip(network.trainable_variables, own, strict=True):
                variable.assign(value)


def _identity(optimizer: optimizers.Optimizer) -> tuple[Hashable, ...]:
    """What a compiled program depends on; the learning rate and its decay are data to it."""
    return optimizer.class_name, tuple(sorted(optimizer.settings.items()))


class _Recent(Generic[T]):
    """The values used last, at most `size` of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        if key not in self._values:
            if len(self._values) >= self._size:
                self._values.popitem(last=False)
                # Compiled functions hold themselves in cycles, and their optimizers' slots with them.
                gc.collect()
            self._values[key] = make()
        self._values.move_to_end(key)
        return self._values[key]


_Programs = _Recent[tuple[backends.TrainStep, Any]]
