"""From a sweep to its ordered trials: the full grid, or the recipes named, times grid axes, times seeds."""

import hashlib
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from experiments import callbacks, optimizers, schedules
from experiments.lr_range_test import AUTO
from experiments.object_store import is_address
from experiments.optimizers.classes import MOMENTUM
from experiments.settings import InputError
from orchestrator.spec.keys import lengths_of
from orchestrator.spec.pairs import MOST_TRIALS, Pair
from orchestrator.spec.sweep import Settings, Sweep
from orchestrator.spec.yaml_document import resolve

MOST_EPOCHS = 10_000_000
"""A plan holds the key of every epoch of every trial."""

LONGEST_ID = 120
"""Characters of a recipe's id; file names hold 255 bytes, and the store puts more before and after it."""
_UNSAFE = re.compile(r"[^A-Za-z0-9_.+=-]+")


@dataclass(frozen=True)
class Recipe:
    """What is compared: an optimizer with a schedule at one point of the grid axes, trained once per seed."""

    optimizer_label: str
    schedule_label: str
    axes: Mapping[str, str]
    optimizer: optimizers.Optimizer
    schedule: schedules.Schedule
    settings: Settings
    published: Mapping[str, float]

    @property
    def label(self) -> str:
        """The recipe's name: its labels and, where there are grid axes, their values."""
        return label(f"{self.optimizer_label}-{self.schedule_label}", self.axes)

    @property
    def plateau(self) -> callbacks.Plateau | None:
        """The rule that lowers the learning rate: the schedule's own, or else the sweep's."""
        return self.schedule.plateau or self.settings.reduce_on_plateau

    @property
    def peak(self) -> float:
        """The learning rate that the schedule's shape is relative to; NaN where a range test is to find it."""
        peak = self.schedule.peak if self.schedule.peak is not None else self.optimizer.learning_rate
        return math.nan if peak == AUTO else peak

    @property
    def auto(self) -> bool:
        """Whether a range test is to find the learning rate."""
        return math.isnan(self.peak)

    @property
    def training(self) -> str:
        """What is trained, as text: the same for two recipes whose trials would be the same."""
        optimizer, schedule = self.optimizer, self.schedule
        cycled = MOMENTUM.get(optimizer.class_name, ()) if schedule.momentum else ()
        settings = {name: value for name, value in optimizer.settings.items() if name not in cycled}
        peak = optimizer.learning_rate if schedules.follows_optimizer(schedule) else schedule.peak
        return repr(
            (
                replace(optimizer, learning_rate=0.0, settings=settings),
                replace(schedule, peak=peak),
                replace(self.settings, reduce_on_plateau=self.plateau),
            )
        )

    def at_rate(self, rate: float) -> "Recipe":
        """The recipe with the learning rate `rate` wherever it says `auto`."""
        optimizer, schedule = self.optimizer, self.schedule
        if optimizer.learning_rate == AUTO:
            optimizer = replace(optimizer, learning_rate=rate)
        if schedule.peak == AUTO:
            schedule = replace(schedule, peak=rate)
        return replace(self, optimizer=optimizer, schedule=schedule)


@dataclass(frozen=True)
class Trial:
    """One recipe with one seed. `id` names it in the store, in tables and on the screen: see `recipe_ids`."""

    id: str
    recipe: Recipe
    seed: int


def label(name: str, axes: Mapping[str, str]) -> str:
    """A name with its values on the grid axes: `sgd-cosine-width=0.5`."""
    return "-".join([name, *(f"{key.rpartition('.')[2]}={value}" for key, value in axes.items())])


def recipes(sweep: Sweep) -> list[Recipe]:
    """Every recipe of the sweep, in the order of the file.

    Raises InputError for what cannot work together, for more than MOST_TRIALS or MOST_EPOCHS, and for a grid axis
    or a rule that changes no trial.
    """
    _refuse_too_many(sweep)
    all_recipes = [recipe for pair in sweep.pairs for recipe in _points(sweep, pair)]
    repeated = [label for label, count in Counter(r.label for r in all_recipes).items() if count > 1]
    if repeated:
        raise InputError(
            f"recipes: {repeated[0]!r} stands twice in the grid; keep one or name the schedules apart"
        )
    epochs = sum(recipe.settings.epochs for recipe in all_recipes) * len(sweep.seeds)
    if epochs > MOST_EPOCHS:
        raise InputError(f"epochs: expected at most {MOST_EPOCHS:,} in all trials together, got {epochs:,}")
    for axis in sweep.axes:
        if not any(axis in recipe.axes for recipe in all_recipes):
            key_path = "epochs" if axis == "epochs" and lengths_of(sweep.document) else f"grid.{axis}"
            raise InputError(
                f"{key_path}: would change no trial: its values mean the same, or recipes and other settings "
                "decide in its place"
            )
    ruled = [recipe for recipe in all_recipes if recipe.settings.reduce_on_plateau]
    if ruled and all(recipe.schedule.plateau for recipe in ruled):
        raise InputError(
            "reduce_on_plateau: would change no trial: each schedule is a plateau with its own settings"
        )
    return all_recipes


def trials(sweep: Sweep) -> list[Trial]:
    """Every trial of the sweep, in the order of the file. Raises InputError for what cannot work together."""
    all_recipes = recipes(sweep)
    ids = recipe_ids([recipe.label for recipe in all_recipes])
    return [Trial(f"{ids[recipe.label]}-s{seed}", recipe, seed) for recipe in all_recipes for seed in sweep.seeds]


def recipe_ids(labels: Sequence[str]) -> dict[str, str]:
    """A file name for each of the distinct `labels`: the label itself where it is plain, short and the only one.

    Any other becomes what is plain in it, and a part of its sha256. No two are the same, also where file names are
    told apart without regard to case.

    >>> recipe_ids(["sgd-cosine-width=0.5", "sgd-cosine-path=../a/b"])
    {'sgd-cosine-width=0.5': 'sgd-cosine-width=0.5', 'sgd-cosine-path=../a/b': 'sgd-cosine-path=.._a_b-f76b8f2e'}
    """
    alike = Counter(label.casefold() for label in labels)
    plain = {label for label in labels if len(label) <= LONGEST_ID and not _UNSAFE.search(label)}
    return {
        label: label if label in plain and alike[label.casefold()] == 1 else _hashed_id(label) for label in labels
    }


def _hashed_id(label: str) -> str:
    digest = hashlib.sha256(label.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{_UNSAFE.sub('_', label)[: LONGEST_ID - 9].rstrip('_')}-{digest}"


def located(recipe: Recipe) -> Recipe:
    """The recipe with the absolute path of its data: workers run in other folders."""
    settings = recipe.settings
    if settings.data.path is None or is_address(settings.data.path):
        return recipe
    data = replace(settings.data, path=os.path.abspath(settings.data.path))
    return replace(recipe, settings=replace(settings, data=data))


def data_paths(recipes: Iterable[Recipe]) -> list[str]:
    """Where the data of `recipes` lies, each place once: absolute paths, and addresses of object stores."""
    paths = (located(recipe).settings.data.path for recipe in recipes)
    return list(dict.fromkeys(path for path in paths if path is not None))


def _refuse_too_many(sweep: Sweep) -> None:
    count = sum(math.prod(map(len, _axes(sweep, pair).values())) for pair in sweep.pairs) * len(sweep.seeds)
    if count > MOST_TRIALS:
        raise InputError(f"grid: expected at most {MOST_TRIALS:,} trials, got {count:,}")


def _axes(sweep: Sweep, pair: Pair) -> dict[str, tuple[Any, ...]]:
    """The axes that concern `pair`: not those of other labels, nor what it sets itself."""
    labels = {"optimizers": pair.optimizer, "schedules": pair.schedule}
    result = {}
    for axis, values in sweep.axes.items():
        group, label, *_ = (*resolve(sweep.document, axis), "")
        overridden = any(f"{axis}.".startswith(f"{key}.") for key in pair.overrides)
        if not overridden and labels.get(group, label) == label:
            result[axis] = values
    return result


def _points(sweep: Sweep, pair: Pair) -> list[Recipe]:
    """The recipes of `pair`: one for each point of the axes that make a difference to it."""
    axes = _axes(sweep, pair)
    points = {
        place: _recipe(sweep, pair, {axis: axes[axis][n] for axis, n in zip(axes, place, strict=True)})
        for place in product(*(range(len(values)) for values in axes.values()))
    }
    idle = {number for number, axis in enumerate(axes) if _idle(sweep, axis, number, points)}
    result: dict[str, Recipe] = {}
    for place, recipe in points.items():
        if all(n == 0 for number, n in enumerate(place) if number in idle):
            settled_axes = {axis: value for n, (axis, value) in enumerate(recipe.axes.items()) if n not in idle}
            distinct = replace(recipe, axes=settled_axes)
            same = result.setdefault(distinct.training, distinct)
            if same is not distinct:
                raise InputError(f"grid: {same.label} and {distinct.label} train the same; keep one of the values")
    return list(result.values())


def _recipe(sweep: Sweep, pair: Pair, point: Mapping[str, Any]) -> Recipe:
    at_point = sweep.with_settings({**point, **pair.overrides})
    recipe = Recipe(
        optimizer_label=pair.optimizer,
        schedule_label=pair.schedule,
        axes={key: str(value) for key, value in point.items()},
        optimizer=at_point.optimizers[pair.optimizer],
        schedule=at_point.schedules[pair.schedule],
        settings=at_point.settings,
        published=pair.published,
    )
    key_path = f"{recipe.label}: schedules.{pair.schedule}"
    schedules.require(key_path, recipe.schedule, recipe.settings.epochs)
    return recipe


def _idle(sweep: Sweep, axis: str, number: int, points: Mapping[tuple[int, ...], Recipe]) -> bool:
    """Whether all values of the axis, which has this number, train the same at each point of the others."""
    if resolve(sweep.document, axis)[::2] == ("optimizers", "learning_rate"):
        return not any(schedules.follows_optimizer(recipe.schedule) for recipe in points.values())
    by_label: dict[tuple[int, ...], set[str]] = {}
    for place, recipe in points.items():
        by_label.setdefault((*place[:number], *place[number + 1 :]), set()).add(recipe.training)
    return len(by_label) < len(points) and all(len(trainings) == 1 for trainings in by_label.values())
