"""Runs with a budget, on a real Ray, with trainers that take no time."""

from collections import Counter
from pathlib import Path

import pytest

from experiments.settings import InputError
from orchestrator.analysis import status
from orchestrator.planning import plan
from orchestrator.storage.store import Store
from tests.support.runs import numbers, run
from tests.support.silent import Silent
from tests.support.sweeps import small

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.mark.parametrize("epochs", [16, 17, 18, 19, 31])
def test_a_budget_of_epochs_is_spent_and_never_exceeded(store: Store, epochs: int) -> None:
    listener = Silent()
    outcome, after = run(small(budget={"epochs": epochs}), store, listener=listener)
    assert outcome.trained == after.spent == epochs
    assert outcome.failed == {}
    assert sum(f"the budget of {epochs} epochs is spent" in message for message in listener.messages) <= 1
    assert status.budget(after) == {"unit": "epochs", "total": float(epochs), "spent": float(epochs)}
    again, _ = run(small(budget={"epochs": epochs}), store)
    assert again.trained == 0


def test_a_budget_buys_one_seed_of_each_recipe_after_another(store: Store) -> None:
    _, after = run(small(seeds=[5, 3, 4], budget={"epochs": 20}), store)
    known = Counter(dict.fromkeys((5, 3, 4), 0))
    for trial in after.trials:
        known[trial.seed] += len(after.cursors[trial.id].keys)
    assert (known[5], known[3], known[4]) == (16, 4, 0)


def test_more_budget_goes_on_to_the_same_numbers(store: Store, tmp_path: Path) -> None:
    for epochs in (16, 21, 30, 100):
        outcome, after = run(small(budget={"epochs": epochs}), store)
    assert outcome.trained == 2
    assert after.unfinished == ()
    whole = Store.at(str(tmp_path / "whole"))
    run(small(), whole)
    assert numbers(store) == numbers(whole)


def test_epochs_that_were_taken_cost_nothing(store: Store) -> None:
    schedules = {"constant": {}, "step": {"every": 2}, "late": {"name": "step", "every": 3}}
    outcome, after = run(small(schedules=schedules, seeds=[0], budget={"epochs": 14}), store)
    assert outcome.trained == after.spent == 14
    assert after.unfinished == ()


def test_hours_are_those_of_cores(store: Store) -> None:
    _, after = run(small(budget={"hours": 1e-9}, trainer="tests.support.fakes:SlowTrainer"), store)
    # A tenth of a second an epoch: each of the workers may finish the one that it has begun.
    assert 1e-9 <= after.spent < 60 * 0.2 / 3600
    assert 1 <= sum(len(cursor.keys) for cursor in after.cursors.values()) < 32


def test_a_race_ends_with_the_budget(store: Store) -> None:
    race = {"first": 2, "most": 10}
    outcome, after = run(small(race=race, budget={"epochs": 50}), store)
    assert outcome.trained == 50
    assert after.race is not None
    assert not after.race.over or after.spent < 50
    rest, over = run(small(race=race), store)
    assert over.race is not None
    assert over.race.over
    assert rest.trained > 0


def test_a_budget_that_does_not_buy_the_first_seeds_is_refused(store: Store) -> None:
    for document, least in (
        ({"budget": {"epochs": 15}}, 16),
        ({"budget": {"epochs": 47}, "race": {"first": 3, "most": 5}}, 48),
    ):
        with pytest.raises(InputError, match=f"budget.epochs: expected at least {least}, which the first"):
            plan.make(small(**document), store)
        bought = {**document, "budget": {"epochs": least}}
        assert plan.make(small(**bought), store).epochs.new >= 16
    run(small(seeds=[0]), store)
    assert plan.make(small(budget={"epochs": 15}), store).spent == 16
