"""Learning-rate range tests of a sweep: which it needs, what is known of them, running what is not.

A test has a key as an epoch has one: all that decides its numbers, and the rates of its ramp. Its curve is kept
under that key for every sweep, so that no ramp is ever run twice. `learning_rate: auto` and `peak: auto` are
answered from here before a trial has a chain.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments import lr_range_test
from experiments.lr_range_test import RangeTest, Reading
from experiments.settings import InputError, unknown
from orchestrator.cluster import node_inventory
from orchestrator.cluster.conditions import Conditions
from orchestrator.planning import epoch_chain
from orchestrator.planning.root_key import Roots
from orchestrator.spec import trials as grid
from orchestrator.spec.sweep import Sweep
from orchestrator.spec.trials import Recipe, Trial
from orchestrator.storage.filesystem import StoreError
from orchestrator.storage.store import Store
from orchestrator.storage.verified_files import Damage

FORMAT = 1
"""Raised whenever the same ramp would give other losses than before."""
SCHEDULES = ("range-test", "published-range-test")
"""The shapes that test the range by the epoch, as a schedule."""
PROVISIONAL = 1.0
"""Stands for a peak that is not known yet: the table then holds fractions of it."""
_DECIDES = ("data", "model", "batch_size", "precision", "deterministic", "resources", "optimizers")
"""The grid axes that a test depends on."""


@dataclass(frozen=True)
class Curve:
    """A measured range test with its reading: `learning_rate` and `loss`, float64 [n], one a `unit`."""

    label: str
    unit: str
    learning_rate: NDArray[np.float64]
    loss: NDArray[np.float64]
    reading: Reading
    seconds: float
    suggestion: str


@dataclass(frozen=True)
class Test:
    """One ramp: an optimizer on fresh weights of one seed, with one model, data set and batch size.

    `label` names it for people; `fingerprint` is that of the data, `conditions` are those of the key. `curve` is
    what was measured, None before: `learning_rate` and `loss`, lists of one number a step, and `seconds`, `host`,
    `device`.
    """

    key: str
    label: str
    recipe: Recipe
    seed: int
    fingerprint: str
    conditions: Conditions
    ramp: RangeTest
    curve: Mapping[str, Any] | None

    @cached_property
    def reading(self) -> Reading:
        """What the curve says. Only where there is one."""
        assert self.curve is not None
        return lr_range_test.read(self.ramp.learning_rates(), np.array(self.curve["loss"]))

    @property
    def measured(self) -> Curve:
        """The curve to look at. Only where there is one."""
        assert self.curve is not None
        loss = np.array(self.curve["loss"], np.float64)
        rates = self.ramp.learning_rates()[: len(loss)].astype(np.float64)
        return Curve(self.label, "step", rates, loss, self.reading, self.curve["seconds"], self.ramp.suggestion)

    @property
    def answer(self) -> float:
        """The learning rate that `auto` stands for. Raises InputError where the curve has no usable region."""
        if self.reading.trouble:
            raise InputError(
                f"{self.label}: auto: its range test has no usable region: {self.reading.trouble}. "
                "Look at it with `sweep lr-find`, or give a number"
            )
        # As people write it: three figures, so that the same number by hand is the same trial.
        return float(f"{self.reading.suggestions[self.ramp.suggestion]:.3g}")


def needed(sweep: Sweep, roots: Roots, store: Store) -> tuple[dict[str, Test], list[Damage]]:
    """The tests that the sweep's `auto` rates ask for, by the label of the recipe; and damaged curves."""
    recipes = [recipe for recipe in grid.recipes(sweep) if recipe.auto]
    return _tests(recipes, sweep, roots, store) if recipes else ({}, [])


def of_optimizers(
    sweep: Sweep, roots: Roots, store: Store, optimizer: str | None = None
) -> tuple[list[Test], list[Damage]]:
    """The test of every optimizer (or of one, by label) at every point of the grid that matters to it."""
    if optimizer is not None and optimizer not in sweep.optimizers:
        raise unknown("--optimizer", "optimizer", optimizer, sweep.optimizers)
    recipes = [recipe for recipe in grid.recipes(sweep) if optimizer in (None, recipe.optimizer_label)]
    tests, damaged = _tests(recipes, sweep, roots, store)
    return distinct(tests.values()), damaged


def distinct(tests: Iterable[Test]) -> list[Test]:
    """Each test once, in order."""
    return list({test.key: test for test in tests}.values())


def _tests(
    recipes: Iterable[Recipe], sweep: Sweep, roots: Roots, store: Store
) -> tuple[dict[str, Test], list[Damage]]:
    ramp, seed = sweep.range_test, sweep.seeds[0]
    curves, damaged = store.read_range_tests()
    found: dict[str, Test] = {}
    by_key: dict[str, Test] = {}
    for recipe in recipes:
        facts = roots.facts(recipe, cycles_momentum=False)  # a ramp leaves the optimizer's own momentum alone
        root = epoch_chain.root_key({**facts, "seed": seed, "range_test": FORMAT})
        key = epoch_chain.epoch_key(root, ramp.learning_rates())
        if key not in by_key:
            axes = {a: v for a, v in recipe.axes.items() if a.partition(".")[0] in _DECIDES}
            label = grid.label(recipe.optimizer_label, axes)
            fingerprint, conditions = roots.description(recipe).fingerprint, roots.conditions(recipe)
            by_key[key] = Test(key, label, recipe, seed, fingerprint, conditions, ramp, curves.get(key))
        found[recipe.label] = by_key[key]
    return found, damaged


def answered(trials: Sequence[Trial], tests: Mapping[str, Test]) -> tuple[list[Trial], dict[str, str]]:
    """The trials with numbers for `auto`; and those whose number is provisional, with the key of their test.

    `tests` are those of `needed`. Raises InputError where a curve has no usable region.
    """
    recipes: dict[int, Recipe] = {}
    result, provisional = [], {}
    for trial in trials:
        recipe, test = trial.recipe, tests.get(trial.recipe.label)
        if test is None:
            result.append(trial)
            continue
        if id(recipe) not in recipes:
            recipes[id(recipe)] = recipe.at_rate(test.answer if test.curve else PROVISIONAL)
        if not test.curve:
            provisional[trial.id] = test.key
        result.append(Trial(trial.id, recipes[id(recipe)], trial.seed))
    return result, provisional


def trained(sweep: Sweep, store: Store, optimizer: str | None = None) -> list[Curve]:
    """The same reading for trials of the sweep that were trained with a range test as their schedule, by epoch."""
    histories, _ = store.history(sweep.name)
    curves = []
    for trial in grid.trials(sweep):
        rows = histories.get(trial.id)
        if rows is None or trial.recipe.schedule.shape not in SCHEDULES:
            continue
        if optimizer not in (None, trial.recipe.optimizer_label) or trial.seed != sweep.seeds[0]:
            continue
        rates, loss = (rows[name].to_numpy() for name in ("learning_rate", "loss"))
        finite = int(np.argmin([*np.isfinite(loss), False]))
        reading = lr_range_test.read(rates, loss[:finite])
        seconds = float(np.sum(rows["seconds"].to_numpy()))
        curves.append(
            Curve(trial.id, "epoch", rates[:finite], loss[:finite], reading, seconds, sweep.range_test.suggestion)
        )
    return curves


def run(tests: Sequence[Test], trainer: str, store: Store, say: Callable[[str], None]) -> dict[str, str]:
    """Run `tests` in parallel on the Ray that is connected and keep their curves; why those failed that did.

    Raises StoreError when a curve cannot be written, and where a worker must not measure.
    """
    import ray

    from orchestrator.execution.trainable import measure_range

    failed, software = {}, node_inventory.software()
    waiting = {}
    for test in tests:
        resources = test.recipe.settings.resources
        task = ray.remote(measure_range).options(
            num_cpus=resources.cpus_per_trial,
            num_gpus=resources.gpus_per_trial,
            max_retries=2,
            runtime_env={"env_vars": _process(test.recipe)},
        )
        recipe = grid.located(test.recipe.at_rate(test.ramp.start))
        rates = test.ramp.learning_rates()
        asked = recipe, test.seed, test.fingerprint, rates, trainer, software, test.conditions
        waiting[task.remote(*asked)] = test
    while waiting:
        (done, *_), _ = ray.wait(list(waiting))
        test = waiting.pop(done)
        try:
            curve = ray.get(done)
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            if isinstance(cause, StoreError):
                for other in waiting:
                    ray.cancel(other)
                raise cause from None
            failed[test.label] = _reason(cause)
        else:
            store.write_range_test(test.key, curve)
            count, of = len(curve["loss"]), test.ramp.steps
            say(f"range test {test.label}: {count} of {of} steps in {curve['seconds']:.1f} s")
        if test.label in failed:
            say(f"range test {test.label}: failed: {failed[test.label]}")
    return failed


def _process(recipe: Recipe) -> dict[str, str]:
    """Variables by which Ray tells processes apart: one keeps its threads, and how it computes, for life."""
    settings = recipe.settings
    return {
        "OMP_NUM_THREADS": str(settings.resources.cpus_per_trial),
        "SWEEP_DETERMINISTIC": str(settings.deterministic),
    }


def _reason(cause: BaseException) -> str:
    """Why a test failed, in one line."""
    if isinstance(cause, InputError):
        return str(cause)
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1] if lines else 'no message'}"
