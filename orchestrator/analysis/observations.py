"""What was planned held against what was recorded: the one place that reads history rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.analysis.statistics import Floats, Ints

METRICS = {
    "val_accuracy": "validation accuracy",
    "val_loss": "validation loss",
    "accuracy": "training accuracy",
    "loss": "training loss",
}
RESULTS = ("completed", "stopped", "diverged")
STATUSES = (*RESULTS, "failed", "running", "waiting")


class Recipe(NamedTuple):
    """What is compared: seeds are its repetitions. Equal to the plain tuple of its parts."""

    optimizer: str
    schedule: str
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """`adam + cosine`, or `adam + cosine, batch_size=16` where the grid has more axes."""
        return ", ".join([f"{self.optimizer} + {self.schedule}", *(f"{k}={v}" for k, v in self.settings)])


@dataclass(frozen=True)
class Planned:
    """One trial of the sweep and how it stands.

    `epochs` is what was planned, `learning_rate` the peak, `settings` the values of grid axes beside
    optimizer, schedule and seed. `status` is one of `STATUSES`, `reason` says why a trial stopped, diverged
    or failed.
    """

    id: str
    optimizer: str
    schedule: str
    seed: int
    epochs: int
    learning_rate: float
    settings: Mapping[str, str] = field(default_factory=dict)
    status: str = "completed"
    reason: str = ""
    cpus: float = 1.0
    gpus: float = 0.0

    @property
    def recipe(self) -> Recipe:
        """The trial without its seed."""
        return Recipe(self.optimizer, self.schedule, tuple(sorted(self.settings.items())))


@dataclass(frozen=True)
class TrialArrays:
    """Trials as arrays: [T] one entry per trial in planned order, [N] one per epoch, a trial's rows in a
    block.

    `recipe` int64 [T] indexes `recipes`; `first` and `count` int64 [T] say where a trial's rows lie (`count`
    0: none); `ended` bool [T] is true where the trial is a result: completed, stopped or diverged, with rows.
    `metrics` holds float64 [N] per name. A prediction that is not a number is never right and its loss has no
    bound, so a recorded accuracy of NaN counts as 0 and a loss of NaN as infinite; no other value is made up.
    """

    planned: tuple[Planned, ...]
    recipes: tuple[Recipe, ...]
    recipe: Ints
    seed: Ints
    first: Ints
    count: Ints
    ended: np.ndarray[Any, np.dtype[np.bool_]]
    metrics: Mapping[str, Floats]
    seconds: Floats
    learning_rate: Floats
    reused: np.ndarray[Any, np.dtype[np.bool_]]
    devices: tuple[str, ...]

    @property
    def results(self) -> Ints:
        """The numbers of the trials that are results."""
        return np.flatnonzero(self.ended)

    def rows(self, trials: Ints) -> Ints:
        """Every row of each trial, trial after trial."""
        count = self.count[trials]
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return np.asarray(np.repeat(self.first[trials], count) + within, np.int64)

    def row(self, trials: Ints, epochs: Ints) -> Ints:
        """Where each trial stood after so many epochs (at least 1): its last row if it had ended before."""
        return self.first[trials] + np.minimum(epochs, self.count[trials]) - 1


def _floats(history: pa.Table, name: str) -> Floats:
    column = history.column(name).combine_chunks()
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _check(trials: Sequence[Planned]) -> None:
    ids: set[str] = set()
    recipes: set[tuple[Recipe, int]] = set()
    for trial in trials:
        if trial.status not in STATUSES:
            raise ValueError(f"trial {trial.id}: expected a status of {', '.join(STATUSES)}; got {trial.status!r}")
        if trial.id in ids:
            raise ValueError(f"trial {trial.id}: planned twice")
        if (trial.recipe, trial.seed) in recipes:
            raise ValueError(f"trial {trial.id}: a second trial of {trial.recipe.label}, seed {trial.seed}")
        ids.add(trial.id)
        recipes.add((trial.recipe, trial.seed))


def _check_epochs(trials: Sequence[Planned], trial: Ints, epoch: Ints, first: Ints) -> None:
    expected = np.arange(len(trial)) - first[trial]
    wrong = np.flatnonzero(epoch != expected)
    if len(wrong):
        at = wrong[0]
        name, got = trials[trial[at]].id, int(epoch[at])
        if at and trial[at - 1] == trial[at] and epoch[at - 1] == got:
            raise ValueError(f"history: trial {name} has epoch {got} twice; every epoch may be recorded once")
        raise ValueError(f"history: trial {name} has epoch {got} where epoch {expected[at]} was expected")


def gather(history: pa.Table, trials: Sequence[Planned]) -> TrialArrays:
    """The rows of `history` that belong to `trials`, sorted; other rows are left out.

    Raises ValueError where a trial is planned twice, an epoch is recorded twice or one is missing in between.
    """
    _check(trials)
    index = pc.index_in(history.column("trial_id"), value_set=pa.array([t.id for t in trials], pa.string()))
    trial = np.asarray(index.fill_null(-1).to_numpy(), np.int64)
    epoch = np.asarray(history.column("epoch").to_numpy(), np.int64)
    kept = np.flatnonzero(trial >= 0)
    order = kept[np.lexsort((epoch[kept], trial[kept]))]
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
    places = {recipe: place for place, recipe in enumerate(recipes)}
    reused = np.asarray(history.column("reused").combine_chunks().to_numpy(zero_copy_only=False), np.bool_)
    devices = pc.unique(history.column("device").take(pa.array(order)))
    return TrialArrays(
        planned=tuple(trials),
        recipes=recipes,
        recipe=np.array([places[t.recipe] for t in trials], np.int64),
        seed=np.array([t.seed for t in trials], np.int64),
        first=first,
        count=count,
        ended=np.array([t.status in RESULTS for t in trials], np.bool_) & (count > 0),
        metrics=metrics,
        seconds=np.nan_to_num(_floats(history, "seconds")[order]),
        learning_rate=_floats(history, "learning_rate")[order],
        reused=reused[order],
        devices=tuple(sorted(d for d in devices.to_pylist() if d)),
    )
