"""Runs on a real Ray, with trainers that take no time."""

import os
from pathlib import Path

import pytest

from orchestrator.execution.run import carry_out
from orchestrator.planning import plan
from orchestrator.storage.store import Store
from tests.support.runs import numbers, run
from tests.support.silent import Silent
from tests.support.sweeps import small

pytestmark = pytest.mark.usefixtures("ray_session")


def test_a_run_records_every_epoch_and_its_best_model(store: Store) -> None:
    listener = Silent()
    outcome, after = run(small(), store, listener=listener)
    assert (outcome.trained, outcome.recomputed, outcome.failed) == (32, 0, {})
    assert set(listener.endings.values()) == {"completed"}
    assert after.epochs.known == after.epochs.total == 32
    rows = numbers(store)
    assert [(r["trial_id"], r["epoch"]) for r in rows] == sorted((t.id, e) for t in after.trials for e in range(4))
    assert set(store.models("small")) == {t.id for t in after.trials}
    needed = {k for w in after.cursors.values() for k in w.needed("val_accuracy")}
    assert store.checkpoints.complete() == needed


def test_a_finished_sweep_has_nothing_left_to_do(store: Store) -> None:
    run(small(), store)
    outcome, after = run(small(), store)
    assert outcome.trained == 0
    assert after.unfinished == ()


def test_more_epochs_train_only_those(store: Store, tmp_path: Path) -> None:
    run(small(), store)
    outcome, _ = run(small(epochs=6), store)
    assert outcome.trained == 4 * 2 + 4 * 6
    calm = Store.at(str(tmp_path / "calm"))
    run(small(epochs=6), calm)
    assert numbers(store) == numbers(calm)


def test_new_cells_train_alone_and_removed_ones_train_nothing(store: Store) -> None:
    run(small(), store)
    grown, _ = run(small(seeds=[0, 1, 2]), store)
    assert grown.trained == 4 * 4
    shrunk, after = run(small(seeds=[2], schedules={"constant": {}}), store)
    assert (shrunk.trained, len(after.trials)) == (0, 2)
    assert {r["trial_id"] for r in numbers(store)} == {"sgd-constant-s2", "adam-constant-s2"}
    back, _ = run(small(), store)
    assert back.trained == 0


def test_common_beginnings_are_trained_once_and_the_tables_are_the_same(store: Store, tmp_path: Path) -> None:
    schedules = {"constant": {}, "step": {"every": 2}, "late": {"name": "step", "every": 3}, "plateau": {}}
    shared, after = run(small(schedules=schedules), store)
    assert shared.trained == 4 * (4 + 0 + 2 + 1)
    alone = Store.at(str(tmp_path / "alone"))
    single, _ = run(small(schedules=schedules), alone, share=False)
    assert single.trained == 4 * 16
    assert numbers(store) == numbers(alone)
    reused = [r for rows in store.history("small")[0].values() for r in rows.to_pylist() if r["reused"]]
    assert len(reused) == 4 * 16 - shared.trained
    assert set(store.models("small")) == {t.id for t in after.trials}


def test_another_sweep_in_the_same_store_takes_what_is_known(store: Store) -> None:
    run(small(), store)
    outcome, _ = run(small(name="other", epochs=5, schedules={"constant": {}}), store)
    assert outcome.trained == 4
    assert len(numbers(store, "other")) == 20
    repeated, _ = run(small(epochs=5, schedules={"constant": {}}), store)
    assert repeated.trained == 0


def test_changed_settings_train_anew_and_changing_back_takes_the_old(store: Store) -> None:
    run(small(), store)
    other, _ = run(small(batch_size=32), store)
    assert other.trained == 32
    back, _ = run(small(), store)
    assert back.trained == 0
    assert len(numbers(store)) == 32


def test_a_diverged_trial_is_a_result_with_its_curve(store: Store) -> None:
    listener = Silent()
    outcome, after = run(small(trainer="tests.support.fakes:DivergingTrainer"), store, listener=listener)
    assert outcome.failed == {}
    assert listener.endings["sgd-constant-s1"] == "diverged"
    assert len(after.cursors["sgd-constant-s1"].keys) == 3
    assert after.unfinished == ()


def test_early_stopping_ends_a_trial_and_is_no_failure(store: Store) -> None:
    stopping = {"monitor": "val_loss", "patience": 1, "min_delta": 100.0}
    outcome, after = run(small(early_stopping=stopping, epochs=9), store)
    assert {w.ending for w in after.cursors.values()} == {"stopped"}
    assert outcome.trained == 8 * 2
    assert after.unfinished == ()


def test_a_failing_trial_is_listed_with_its_reason_and_the_others_finish(store: Store) -> None:
    outcome, after = run(small(trainer="tests.support.fakes:FailingTrainer", retries=1), store)
    assert set(outcome.failed) == {t.id for t in after.trials if t.seed == 1}
    assert outcome.failed["sgd-cosine-s1"] == "RuntimeError: the weights caught fire"
    assert store.failures("small") == outcome.failed
    assert all(after.cursors[t.id].ending == "completed" for t in after.trials if t.seed == 0)


def test_a_killed_worker_costs_one_epoch_at_most(store: Store, tmp_path: Path) -> None:
    listener = Silent()
    outcome, _ = run(small(trainer="tests.support.fakes:DyingTrainer"), store, listener=listener)
    assert outcome.failed == {}
    assert outcome.trained == 32
    assert len([name for name in os.listdir(os.environ["DEATHS"]) if not name.startswith("mortal")]) == 4
    assert any("goes on from its newest checkpoint" in message for message in listener.messages)
    calm = Store.at(str(tmp_path / "calm"))
    run(small(trainer="tests.support.fakes:DyingTrainer"), calm)
    assert numbers(store) == numbers(calm)


def test_deaths_add_up_only_in_the_way_of_the_same_epoch(store: Store) -> None:
    one = {"optimizers": {"sgd": {"class": "SGD"}}, "schedules": {"constant": {}}, "seeds": [0]}
    outcome, _ = run(small(trainer="tests.support.fakes:MortalTrainer", retries=1, epochs=3, **one), store)
    assert len([name for name in os.listdir(os.environ["DEATHS"]) if name.startswith("mortal")]) == 3
    assert (outcome.failed, outcome.trained) == ({}, 3)


def test_a_checkpoint_that_is_gone_is_computed_again(store: Store) -> None:
    run(small(schedules={"constant": {}}), store)
    for key in store.checkpoints.complete():
        store.checkpoints.delete(key)
    outcome, _ = run(small(schedules={"constant": {}}, epochs=5), store)
    assert (outcome.trained, outcome.recomputed) == (4 * 5, 4 * 4)
    assert store.notes("small") == {}


def test_a_trainer_that_is_not_there_is_a_reason_not_a_crash(store: Store) -> None:
    planned = plan.make(small(trainer="tests.support.fakes:NoTrainer"), store)
    with store.lock("small"):
        outcome = carry_out(planned, store, Silent())
    assert len(outcome.failed) == 8
    assert all("tests.support.fakes:NoTrainer" in reason for reason in outcome.failed.values())
