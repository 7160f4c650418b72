"""Estimates of what a sweep needs, before anything runs."""

from typing import Any

from orchestrator.planning import plan, resource_estimates
from orchestrator.planning.plan import Plan
from orchestrator.spec.sweep import DEFAULT_TRAINER
from orchestrator.storage.store import Store
from tests.support.sweeps import small


def planned(store: Store, **data: Any) -> Plan:
    """A plan for the built-in trainer, on the digits."""
    return plan.make(small(trainer=DEFAULT_TRAINER, data={"name": "digits", **data}), store)


def test_the_images_of_a_test_set_are_evaluated_decoded_and_held(store: Store) -> None:
    without, with_test = planned(store), planned(store, test=0.2)
    recipes = [made.trials[0].recipe for made in (without, with_test)]
    # Of 1,797 images 449 are for validation and 359 for the test.
    works = [next(iter(resource_estimates.epoch_work(made).values())) for made in (without, with_test)]
    assert works[0] / works[1] == (3 * 1348 + 449) / (3 * (1348 - 359) + 449 + 359)
    assert resource_estimates.cache(without) == resource_estimates.cache(with_test) == 1797 * 32 * 32
    memory = [
        resource_estimates.memory(made, recipe) for made, recipe in zip((without, with_test), recipes, strict=True)
    ]
    assert memory[0] == memory[1]
