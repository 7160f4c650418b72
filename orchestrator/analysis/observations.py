"""Planned trials and their recorded epochs as arrays: the only module that reads history rows."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.statistics.descriptive import Floats, Ints

METRICS = {
    "val_accuracy": "validation accuracy",
    "val_loss": "validation loss",
    "accuracy": "training accuracy",
    "loss": "training loss",
}
TEST_METRICS = ("test_accuracy", "test_loss")
RESULTS = ("completed", "stopped", "diverged")
STATUSES = (*RESULTS, "failed", "running", "waiting")


class RecipeLabel(NamedTuple):
    """The labels of a recipe, whose repetitions are seeds. It equals the tuple of its three fields."""

    optimizer: str
    schedule: str
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """`adam + cosine`, or `adam + cosine, batch_size=16` where the grid has more axes."""
        return ", ".join([f"{self.optimizer} + {self.schedule}", *(f"{k}={v}" for k, v in self.settings)])


@dataclass(frozen=True)
class TrialDescription:
    """One planned trial and its status.

    `epochs` is the planned number, `learning_rate` the peak. `settings` has the grid axes other than optimizer,
    schedule and seed, with their values. `status` is one of `STATUSES`; `reason` explains why a trial stopped,
    diverged or failed. `cpus` and `gpus` are the cores and GPUs that the trial holds while it trains. `validation`
    counts the validation images and `majority` is the share of their most frequent class, None where not known.
    """

    id: str
    optimizer: str
    schedule: str
    seed: int
    epochs: int
    learning_rate: float
    settings: Mapping[str, str] = field(default_factory=dict)
    _: KW_ONLY
    status: str = "completed"
    reason: str = ""
    cpus: float = 1.0
    gpus: float = 0.0
    validation: int = 0
    majority: float | None = None

    @property
    def recipe(self) -> RecipeLabel:
        """The trial without its seed."""
        return RecipeLabel(self.optimizer, self.schedule, tuple(sorted(self.settings.items())))


@dataclass(frozen=True, kw_only=True)
class TrialArrays:
    """Trials as arrays: [T] with one entry per trial in planned order, [N] with one per recorded epoch.

    The rows of a trial are consecutive in [N], in the order of its epochs.

    recipe: int64 [T], an index into `recipes`. seed: int64 [T].
    first, count: int64 [T], the first row of a trial and the number of its rows.
    ended: bool [T], true for a result: a trial that completed, stopped or diverged and has rows.
    metrics: float64 [N] by name. An accuracy of NaN counts as 0: a prediction that is not a number is wrong. A
    loss of NaN counts as infinite.
    test: float64 [N] by name of TEST_METRICS, NaN for an epoch without test figures.
    at_once: the largest number of epochs that were trained at one time; 1 without any.
    seconds, learning_rate: float64 [N]. reused: bool [N], true for an epoch that was not trained again.
    devices: the names of all devices, sorted.
    """

    trials: tuple[TrialDescription, ...]
    recipes: tuple[RecipeLabel, ...]
    recipe: Ints
    seed: Ints
    first: Ints
    count: Ints
    ended: np.ndarray[Any, np.dtype[np.bool_]]
    metrics: Mapping[str, Floats]
    test: Mapping[str, Floats]
    at_once: int
    seconds: Floats
    learning_rate: Floats
    reused: np.ndarray[Any, np.dtype[np.bool_]]
    devices: tuple[str, ...]

    @property
    def results(self) -> Ints:
        """The numbers of the trials that are results."""
        return np.flatnonzero(self.ended)

    def subset(self, trials: Ints) -> "TrialArrays":
        """These trials alone with their recipes, in the same order; the rows of the others are in no trial."""
        recipes, recipe = np.unique(self.recipe[trials], return_inverse=True)
        return replace(
            self,
            trials=tuple(self.trials[trial] for trial in trials),
            recipes=tuple(self.recipes[number] for number in recipes),
            recipe=recipe.astype(np.int64),
            seed=self.seed[trials],
            first=self.first[trials],
            count=self.count[trials],
            ended=self.ended[trials],
        )

    def rows(self, trials: Ints) -> Ints:
        """All rows of the first trial, then of the second, and so on. int64 [sum of their counts]."""
        count = self.count[trials]
        offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return np.asarray(np.repeat(self.first[trials], count) + offset, np.int64)

    def row(self, trials: Ints, epochs: Ints) -> Ints:
        """The row of each trial after `epochs` epochs (at least 1): its last row if it has fewer epochs."""
        return self.first[trials] + np.minimum(epochs, self.count[trials]) - 1

    def last_rows(self, trials: Ints) -> Ints:
        """The row of each trial's last epoch; every trial must have one."""
        return self.first[trials] + self.count[trials] - 1


def _floats(history: pa.Table, name: str) -> Floats:
    column = history.column(name).combine_chunks()
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _test_metric(history: pa.Table, name: str) -> Floats:
    """The column, all NaN for a history that was recorded before there were test images."""
    return _floats(history, name) if name in history.column_names else np.full(len(history), np.nan)


def _at_once(started: Floats, seconds: Floats) -> int:
    """The largest number of intervals, from `started` for `seconds`, that overlap; a touching end is no overlap.

    >>> _at_once(np.array([0.0, 1.0, 2.0]), np.array([2.0, 1.5, 1.0]))
    2
    """
    times = np.concatenate([started, started + seconds])
    change = np.repeat([1, -1], len(started))
    running = np.cumsum(change[np.lexsort((change, times))])
    return int(running.max(initial=1))


def _check(trials: Sequence[TrialDescription]) -> None:
    ids: set[str] = set()
    recipes: set[tuple[RecipeLabel, int]] = set()
    for trial in trials:
        if trial.status not in STATUSES:
            raise ValueError(f"trial {trial.id}: expected a status of {', '.join(STATUSES)}; got {trial.status!r}")
        if trial.id in ids:
            raise ValueError(f"trial {trial.id}: planned twice")
        if (trial.recipe, trial.seed) in recipes:
            raise ValueError(f"trial {trial.id}: a second trial of {trial.recipe.text}, seed {trial.seed}")
        ids.add(trial.id)
        recipes.add((trial.recipe, trial.seed))


def _check_epochs(trials: Sequence[TrialDescription], trial: Ints, epoch: Ints, first: Ints) -> None:
    expected = np.arange(len(trial)) - first[trial]
    mismatches = np.flatnonzero(epoch != expected)
    if len(mismatches):
        row = mismatches[0]
        name, number = trials[trial[row]].id, int(epoch[row])
        if row and trial[row - 1] == trial[row] and epoch[row - 1] == number:
            raise ValueError(f"history: trial {name} has epoch {number} twice; every epoch may be recorded once")
        raise ValueError(f"history: trial {name} has epoch {number} where epoch {expected[row]} was expected")


def gather(history: pa.Table, trials: Sequence[TrialDescription]) -> TrialArrays:
    """The rows of `history` that belong to `trials`, sorted by trial and epoch; rows of other trials are left out.

    Raises ValueError for a trial that is planned twice, an epoch that is recorded twice and a missing epoch.
    """
    _check(trials)
    index = pc.index_in(history.column("trial_id"), value_set=pa.array([t.id for t in trials], pa.string()))
    trial = np.asarray(index.fill_null(-1).to_numpy(), np.int64)
    epoch = np.asarray(history.column("epoch").to_numpy(), np.int64)
    selected = np.flatnonzero(trial >= 0)
    order = selected[np.lexsort((epoch[selected], trial[selected]))]
    count = np.bincount(trial[order], minlength=len(trials)).astype(np.int64)
    first = np.cumsum(count) - count
    _check_epochs(trials, trial[order], epoch[order], first)
    metrics = {
        name: np.nan_to_num(
            _floats(history, name)[order], nan=0.0 if "accuracy" in name else np.inf, posinf=np.inf
        )
        for name in METRICS
    }
    recipes = tuple(dict.fromkeys(t.recipe for t in trials))
    positions = {recipe: position for position, recipe in enumerate(recipes)}
    reused = np.asarray(history.column("reused").combine_chunks().to_numpy(zero_copy_only=False), np.bool_)[order]
    seconds = np.nan_to_num(_floats(history, "seconds")[order])
    started = np.asarray(history.column("started_at").cast(pa.int64()).fill_null(0).to_numpy(), np.float64)[order]
    devices = pc.unique(history.column("device").take(pa.array(order)))
    return TrialArrays(
        trials=tuple(trials),
        recipes=recipes,
        recipe=np.array([positions[t.recipe] for t in trials], np.int64),
        seed=np.array([t.seed for t in trials], np.int64),
        first=first,
        count=count,
        ended=np.array([t.status in RESULTS for t in trials], np.bool_) & (count > 0),
        metrics=metrics,
        test={name: _test_metric(history, name)[order] for name in TEST_METRICS},
        at_once=min(_at_once(started[~reused] / 1e6, seconds[~reused]), max(int((count > 0).sum()), 1)),
        seconds=seconds,
        learning_rate=_floats(history, "learning_rate")[order],
        reused=reused,
        devices=tuple(sorted(d for d in devices.to_pylist() if d)),
    )
