"""From a sweep to its ordered trials: the full grid, or the recipes named, times grid axes, times seeds."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from experiments import optimizers, rules, schedules
from experiments.checks import InputError
from orchestrator.sweep import Pair, Settings, Sweep


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
        values = [f"{key.rpartition('.')[2]}={value}" for key, value in self.axes.items()]
        return "-".join([self.optimizer_label, self.schedule_label, *values])

    @property
    def plateau(self) -> rules.Plateau | None:
        """The rule that lowers the learning rate: the schedule's own, or else the sweep's."""
        return self.schedule.plateau or self.settings.reduce_on_plateau

    @property
    def peak(self) -> float:
        """The learning rate that the schedule's shape is relative to."""
        return self.schedule.peak if self.schedule.peak is not None else self.optimizer.learning_rate


@dataclass(frozen=True)
class Trial:
    """One recipe with one seed. `id` names it in the store, in tables and on the screen."""

    id: str
    recipe: Recipe
    seed: int


def recipes(sweep: Sweep) -> list[Recipe]:
    """Every recipe of the sweep, in the order of the file. Raises InputError for what cannot work together."""
    found = [recipe for pair in sweep.pairs for recipe in _points(sweep, pair)]
    repeated = [label for label, count in Counter(r.label for r in found).items() if count > 1]
    if repeated:
        raise InputError(
            f"recipes: {repeated[0]!r} stands twice in the grid; keep one or name the schedules apart"
        )
    return found


def trials(sweep: Sweep) -> list[Trial]:
    """Every trial of the sweep, in the order of the file. Raises InputError for what cannot work together."""
    return [Trial(f"{recipe.label}-s{seed}", recipe, seed) for recipe in recipes(sweep) for seed in sweep.seeds]


def _points(sweep: Sweep, pair: Pair) -> Iterator[Recipe]:
    labels = {"optimizers": pair.optimizer, "schedules": pair.schedule}
    axes = {k: v for k, v in sweep.axes.items() if _concerns(k, labels) and k not in pair.overrides}
    for values in product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        here = sweep.with_settings({**point, **pair.overrides})
        recipe = Recipe(
            optimizer_label=pair.optimizer,
            schedule_label=pair.schedule,
            axes={key: str(value) for key, value in point.items()},
            optimizer=here.optimizers[pair.optimizer],
            schedule=here.schedules[pair.schedule],
            settings=here.settings,
            published=pair.published,
        )
        where = f"{recipe.label}: schedules.{pair.schedule}"
        schedules.require(where, recipe.schedule, recipe.settings.epochs)
        yield recipe


def _concerns(key: str, labels: Mapping[str, Any]) -> bool:
    """A grid axis over one optimizer's or schedule's setting concerns only the pairs with that label."""
    group, _, rest = key.partition(".")
    return group not in labels or rest.partition(".")[0] == labels[group]
