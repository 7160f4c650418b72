"""Which train steps the workers have compiled, as far as the driver can tell, so that trials reuse them."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator

from orchestrator.spec.sweep import Resources
from orchestrator.spec.trials import Recipe, Trial

TrainStep = int
"""Equal for two trials that a worker trains with the same compiled step."""


def train_steps(trials: Iterable[Trial], cycling: Collection[str]) -> dict[str, TrainStep]:
    """The train step of each trial, by trial id; it depends on all but the schedule and the seed.

    `cycling` are the ids of the trials whose momentum is cycled.
    """
    numbers: dict[Hashable, TrainStep] = {}
    return {
        trial.id: numbers.setdefault((*_deciding(trial.recipe), trial.id in cycling), len(numbers))
        for trial in trials
    }


def _deciding(recipe: Recipe) -> tuple[Hashable, ...]:
    """The settings that decide what is compiled."""
    optimizer, settings = recipe.optimizer, recipe.settings
    return (
        optimizer.class_name,
        tuple(sorted(optimizer.settings.items())),
        *(settings.model, settings.data, settings.precision, settings.batch_size),
    )


class Workers:
    """The workers of a run, each with the train steps that it has compiled.

    Ray Tune gives the next trial to the worker that has been free longest. Ray may also end a worker or start
    one. The driver is then wrong about that worker, which costs one compilation.
    """

    def __init__(self) -> None:
        self._busy: dict[str, set[TrainStep]] = {}
        self._free: defaultdict[Resources, list[set[TrainStep]]] = defaultdict(list)

    def mismatch(self, needs: Resources, step: TrainStep) -> int:
        """How badly `step` fits the worker that gets the next trial with these needs.

        0 if that worker has compiled it. Otherwise 1, and 1 more for each other worker that has: those may
        train it without a compilation.
        """
        free = self._free[needs]
        if free and step in free[0]:
            return 0
        return 1 + sum(step in compiled for compiled in self._all())

    def start(self, trial_id: str, needs: Resources, step: TrainStep) -> None:
        """The next worker gets the trial."""
        free = self._free[needs]
        compiled = free.pop(0) if free else set()
        compiled.add(step)
        self._busy[trial_id] = compiled

    def end(self, trial_id: str, needs: Resources) -> None:
        """The trial has ended and its worker is free."""
        self._free[needs].append(self._busy.pop(trial_id))

    def _all(self) -> Iterator[set[TrainStep]]:
        yield from self._busy.values()
        for free in self._free.values():
            yield from free
