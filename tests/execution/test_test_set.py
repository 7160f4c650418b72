"""The metrics of a test set are recorded and taken along, and nothing is chosen by them."""

import math
from typing import Any

import pyarrow as pa
import pytest

from experiments.callbacks import TEST_METRICS
from orchestrator.planning import plan
from orchestrator.spec.sweep import Sweep
from orchestrator.storage.store import Store
from tests.support import engine
from tests.support.sweeps import small

MISLEADING = "tests.support.fakes:MisleadingTrainer"
RULES: dict[str, Any] = {
    "early_stopping": {"monitor": "val_loss", "patience": 2},
    "reduce_on_plateau": {"monitor": "val_accuracy", "factor": 0.5, "patience": 1},
}


def sweep(**changes: Any) -> Sweep:
    """A sweep of eight trials on data with a test set; at these learning rates the noise decides which is best."""
    data = {"name": "digits", "image_size": 32, "test": 0.1}
    optimizers = {name: {"class": "SGD", "learning_rate": rate} for name, rate in (("sgd", 0.5), ("fast", 0.9))}
    return small(**{"data": data, "optimizers": optimizers, "epochs": 9, **changes})


def decisions(made: plan.Plan, store: Store) -> dict[str, Any]:
    """By trial: its epochs, why it ended, its best epochs, and the epochs whose checkpoint or model is kept."""
    kept, models = store.checkpoints.complete(), store.models(made.sweep.name)
    result = {}
    for trial in made.trials:
        cursor = made.cursors[trial.id]
        rows = store.read_trial(made.sweep.name, trial.id)
        numbers = {key: n for n, key in enumerate(cursor.keys)}
        result[trial.id] = {
            "rates": [row["learning_rate"] for row in rows],
            "ending": cursor.ending,
            "best": [numbers[key] for key in [cursor.best_key(trial.recipe.settings.monitor)] if key],
            "kept": sorted(numbers[key] for key in kept & numbers.keys()),
            "model": numbers[models[trial.id]],
        }
    return result


@pytest.mark.parametrize("rules", [{}, RULES], ids=["no rules", "rules"])
@pytest.mark.parametrize("monitor", ["val_accuracy", "val_loss"])
def test_nothing_is_chosen_by_the_test_set(
    store: Store, tmp_path: Any, rules: dict[str, Any], monitor: str
) -> None:
    other = Store.at(str(tmp_path / "other"))
    made = []
    for trainer, place in ((MISLEADING, store), ("tests.support.fakes:VectorTrainer", other)):
        changed = sweep(trainer=trainer, monitor=monitor, **rules)
        assert engine.run(changed, place).failed == {}
        made.append(decisions(plan.make(changed, place), place))
    assert made[0] == made[1]
    assert {trial["ending"] for trial in made[0].values()} <= {"completed", "stopped"}
    if rules:
        assert "stopped" in {trial["ending"] for trial in made[0].values()}
        assert any(
            trial["rates"][0] != trial["rates"][-1] for name, trial in made[0].items() if "constant" in name
        )
    tested = [row for row in engine.numbers(store) if math.isfinite(row["test_accuracy"])]
    assert 0 < len(tested) < len(engine.numbers(store))


def test_a_trainer_that_measures_no_test_set_records_null(store: Store) -> None:
    engine.run(sweep(), store)
    assert {row[name] for row in engine.numbers(store) for name in TEST_METRICS} == {None}


def test_an_epoch_that_is_taken_brings_its_test_metrics(store: Store) -> None:
    shared = {"trainer": MISLEADING, "schedules": {"constant": {}, "step": {"every": 4}}}
    engine.run(sweep(**shared), store)
    engine.run(sweep(**shared, name="other"), store)
    rows = pa.concat_tables(list(store.history("small")[0].values())).to_pylist()
    by_key = {row["epoch_key"]: repr([row[name] for name in TEST_METRICS]) for row in rows if not row["reused"]}
    others = pa.concat_tables(list(store.history("other")[0].values())).to_pylist()
    taken = [row for row in rows + others if row["reused"]]
    assert len(taken) == len(others) + 4 * 4
    for row in taken:
        assert repr([row[name] for name in TEST_METRICS]) == by_key[row["epoch_key"]]


def test_an_epoch_that_is_computed_again_is_held_against_its_recorded_test_metrics(store: Store) -> None:
    one = {"trainer": MISLEADING, "optimizers": {"sgd": {"class": "SGD"}}, "schedules": {"constant": {}}}
    trial = "sgd-constant-s0"
    engine.run(sweep(**one, seeds=[0], epochs=4, save_best=False), store)
    rows = store.read_trial("small", trial)
    store.write_history("small", trial, [*rows[:3], {**rows[3], "test_loss": 0.5, "host": "elsewhere"}])
    for key in store.checkpoints.complete():
        store.checkpoints.delete(key)
    engine.run(sweep(**one, seeds=[0], epochs=5, save_best=False), store)
    note = store.notes("small")[trial]
    assert note.startswith("epoch 3, computed again on ")
    assert f"gave test_loss {rows[3]['test_loss']:.9g}; recorded on elsewhere (cpu): 0.5. Another" in note
