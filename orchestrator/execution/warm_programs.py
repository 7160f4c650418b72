"""Which compiled programs the workers hold, as far as the driver can tell, so that trials go where theirs is."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator

from orchestrator.spec.sweep import Resources
from orchestrator.spec.trials import Recipe, Trial

TrainStep = int
"""Equal for two trials that a worker trains with the same compiled program."""


def programs(trials: Iterable[Trial], cycling: Collection[str]) -> dict[str, TrainStep]:
    """The program of each trial, by the trial's id; it depends on all but the schedule and the seed.

    `cycling` are the ids of those whose momentum is cycled.
    """
    numbers: dict[Hashable, TrainStep] = {}
    return {
        trial.id: numbers.setdefault((*_deciding(trial.recipe), trial.id in cycling), len(numbers))
        for trial in trials
    }


def _deciding(recipe: Recipe) -> tuple[Hashable, ...]:
    optimizer, settings = recipe.optimizer, recipe.settings
    return (
        optimizer.class_name,
        tuple(sorted(optimizer.settings.items())),
        *(settings.model, settings.data, settings.precision, settings.batch_size),
    )


class Workers:
    """The workers of a run, and what each has trained.

    Of those that are free, Ray Tune gives out the one that has been free longest (its cache of actors). Where it
    has ended one or started one on its own, what is told here is wrong about that one, which costs a compilation.
    """

    def __init__(self) -> None:
        self._busy: dict[str, set[TrainStep]] = {}
        self._free: defaultdict[Resources, list[set[TrainStep]]] = defaultdict(list)

    def misfit(self, needs: Resources, program: TrainStep) -> int:
        """How badly `program` fits the worker that the next trial with these needs will be given.

        0 where it holds it, or else 1 and one more for each that does: what others hold is best left to them.
        """
        free = self._free[needs]
        if free and program in free[0]:
            return 0
        return 1 + sum(program in held for held in self._every())

    def start(self, trial_id: str, needs: Resources, program: TrainStep) -> None:
        """The next worker has been given a trial."""
        free = self._free[needs]
        held = free.pop(0) if free else set()
        held.add(program)
        self._busy[trial_id] = held

    def end(self, trial_id: str, needs: Resources) -> None:
        """The trial has ended and its worker is free."""
        self._free[needs].append(self._busy.pop(trial_id))

    def _every(self) -> Iterator[set[TrainStep]]:
        yield from self._busy.values()
        for free in self._free.values():
            yield from free
