"""Learning-rate range tests of a sweep: which tests it needs, and which curves the store has.

A test has a key, as an epoch has: the hash of all that decides its numbers, and of the rates of its ramp. The
store keeps its curve under that key for every sweep, so no ramp is ever run twice. The tests give the numbers for
`learning_rate: auto` and `peak: auto`, before a trial has a chain.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from experiments import lr_range_test
from experiments.lr_range_test import RangeTest, RangeTestCurve, Reading
from experiments.settings import InputError, unknown
from orchestrator.cluster.conditions import Conditions
from orchestrator.planning import epoch_chain
from orchestrator.planning.root_key import RootFacts
from orchestrator.spec import trials as grid
from orchestrator.spec.sweep import Sweep
from orchestrator.spec.trials import Recipe, Trial
from orchestrator.storage.store import Store
from orchestrator.storage.sweep_names import require_sweep_name
from orchestrator.storage.verified_files import CorruptFile

FORMAT = 1
"""Raised whenever the same ramp would give other losses than before."""
SCHEDULES = ("range-test", "published-range-test")
"""The shapes of schedules that are range tests themselves, epoch by epoch."""
PROVISIONAL = 1.0
"""The peak of a trial before its range test: its table then holds fractions of the peak."""
_DECIDES = ("data", "model", "batch_size", "precision", "deterministic", "resources", "optimizers")
"""The grid axes that a test depends on."""


@dataclass(frozen=True)
class LrRangeTest:
    """One ramp: an optimizer on fresh weights of one seed, with one model, data set and batch size.

    `label` is its name for people. `fingerprint` is that of the data, `conditions` are those of the key. `curve`
    is None before the test has run. It has `learning_rate` and `loss`, lists with one number a step, and
    `seconds`, `host`, `device`.
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
        """The learning rates that the curve suggests. The test must have a curve."""
        assert self.curve is not None
        return lr_range_test.read(self.ramp.learning_rates(), np.array(self.curve["loss"]))

    @property
    def measured(self) -> RangeTestCurve:
        """The curve for a figure. The test must have a curve."""
        assert self.curve is not None
        loss = np.array(self.curve["loss"], np.float64)
        rates = self.ramp.learning_rates()[: len(loss)].astype(np.float64)
        return RangeTestCurve(
            self.label, "step", rates, loss, self.reading, self.curve["seconds"], self.ramp.suggestion
        )

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


def needed(sweep: Sweep, root_facts: RootFacts, store: Store) -> tuple[dict[str, LrRangeTest], list[CorruptFile]]:
    """The tests that the sweep's `auto` rates need, by the label of the recipe; and damaged curves."""
    recipes = [recipe for recipe in grid.recipes(sweep) if recipe.auto]
    return _tests(recipes, sweep, root_facts, store) if recipes else ({}, [])


def of_optimizers(
    sweep: Sweep, root_facts: RootFacts, store: Store, optimizer: str | None = None
) -> tuple[list[LrRangeTest], list[CorruptFile]]:
    """The test of every optimizer, or of one by label, for every grid point with other numbers; damaged curves."""
    require_sweep_name(sweep.name)
    if optimizer is not None and optimizer not in sweep.optimizers:
        raise unknown("--optimizer", "optimizer", optimizer, sweep.optimizers)
    recipes = [recipe for recipe in grid.recipes(sweep) if optimizer in (None, recipe.optimizer_label)]
    tests, damaged = _tests(recipes, sweep, root_facts, store)
    return distinct(tests.values()), damaged


def distinct(tests: Iterable[LrRangeTest]) -> list[LrRangeTest]:
    """Each test once, in order."""
    return list({test.key: test for test in tests}.values())


def _tests(
    recipes: Iterable[Recipe], sweep: Sweep, root_facts: RootFacts, store: Store
) -> tuple[dict[str, LrRangeTest], list[CorruptFile]]:
    ramp, seed = sweep.range_test, sweep.seeds[0]
    curves, damaged = store.read_range_tests()
    by_label: dict[str, LrRangeTest] = {}
    by_key: dict[str, LrRangeTest] = {}
    for recipe in recipes:
        facts = root_facts.facts(recipe, cycles_momentum=False)  # a ramp leaves the optimizer's own momentum alone
        root = epoch_chain.root_key({**facts, "seed": seed, "range_test": FORMAT})
        key = epoch_chain.epoch_key(root, ramp.learning_rates())
        if key not in by_key:
            axes = {a: v for a, v in recipe.axes.items() if a.partition(".")[0] in _DECIDES}
            label = grid.label(recipe.optimizer_label, axes)
            fingerprint, conditions = root_facts.description(recipe).fingerprint, root_facts.conditions(recipe)
            by_key[key] = LrRangeTest(key, label, recipe, seed, fingerprint, conditions, ramp, curves.get(key))
        by_label[recipe.label] = by_key[key]
    return by_label, damaged


def with_numbers(
    trials: Sequence[Trial], tests: Mapping[str, LrRangeTest]
) -> tuple[tuple[Trial, ...], Mapping[str, str]]:
    """The trials with numbers for `auto`; and the ids of those with a provisional number, with their test's key.

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
    return tuple(result), provisional


def curves_of_trials(sweep: Sweep, store: Store, optimizer: str | None = None) -> list[RangeTestCurve]:
    """A curve, by epoch, for each trained trial of the sweep whose schedule is a range test."""
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
            RangeTestCurve(
                trial.id, "epoch", rates[:finite], loss[:finite], reading, seconds, sweep.range_test.suggestion
            )
        )
    return curves
