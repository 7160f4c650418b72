"""Which checkpoints stay when a run has ended, and what a person may free."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from orchestrator.console import plan_and_status
from orchestrator.planning import checkpoint_retention, plan, resource_estimates
from orchestrator.planning.checkpoint_retention import rungs
from orchestrator.spec.sweep import Sweep
from orchestrator.storage.store import Store
from tests.support import engine
from tests.support.fakes import VectorTrainer
from tests.support.sweeps import small

ORPHAN = "ab" * 32


def one(**changes: object) -> Sweep:
    document = {"optimizers": {"sgd": {"class": "SGD"}}, "schedules": {"constant": {}}, "seeds": [0]}
    return small(**{**document, **changes})


def orphaned(store: Store) -> set[str]:
    """Leave in the store what runs leave there that die while they write."""
    store.checkpoints.write(ORPHAN, {})
    store.files.write(f"checkpoints/{'cd' * 32}.safetensors", b"no manifest")
    Path(f"{store}/checkpoints/.tmp-1").write_bytes(b"half")
    return {ORPHAN}


def test_a_run_clears_away_what_deaths_have_left_behind(store: Store) -> None:
    engine.run(one(), store)
    orphaned(store)
    engine.run(one(), store)
    engine.assert_whole(one(), store)


def test_a_run_leaves_what_other_settings_and_sweeps_have_on_record(store: Store) -> None:
    engine.run(one(batch_size=32), store)
    engine.run(one(name="other", seeds=[1]), store)
    held = store.checkpoints.complete()
    orphaned(store)
    engine.run(one(), store)
    assert held < store.checkpoints.complete()
    assert ORPHAN not in store.checkpoints.complete()
    assert engine.run(one(name="other", seeds=[1], epochs=5), store).trained == 1
    assert engine.run(one(batch_size=32, epochs=5), store).trained == 1


def test_a_run_that_keeps_all_checkpoints_frees_none(store: Store) -> None:
    engine.run(one(checkpoints="all"), store)
    assert len(store.checkpoints.complete()) == 4
    engine.run(one(checkpoints="all"), store)
    assert len(store.checkpoints.complete()) == 4


def branching_after(epochs: int) -> dict[str, object]:
    """A schedule whose first `epochs` epochs are those of a constant one."""
    return {"late": {"name": "piecewise", "boundaries": [epochs], "values": [1, 0.1], "by": "epoch"}}


def test_a_ladder_leaves_at_most_a_third_to_compute_again_after_any_number_of_epochs() -> None:
    for total in range(1, 201):
        kept = {*rungs(total), total}
        for known in range(2, total + 1):
            newest = max(rung for rung in kept if rung <= known)
            assert known - newest <= known / 3, (total, known)


def test_no_smaller_ladder_promises_as_much() -> None:
    """Without a rung, or with the rung one epoch later, more than a third is missing there."""
    for below, rung in pairwise(rungs(100_000)):
        assert (rung - 1) - below <= (rung - 1) / 3
        assert rung - below > rung / 3


def test_a_ladder_grows_with_the_logarithm_of_the_epochs() -> None:
    for total in range(2, 201):
        assert len([rung for rung in rungs(total) if rung < total]) <= 1.71 * np.log2(total)
    assert len(rungs(100_000 - 1)) == 26


def test_a_schedule_that_is_added_later_goes_on_from_the_ladder(store: Store) -> None:
    total = 16
    engine.run(one(epochs=total, checkpoints="ladder"), store)
    for known in range(1, total):
        added = one(name="added", epochs=total, schedules=branching_after(known))
        epochs = plan.make(added, store).epochs
        assert (epochs.known, epochs.new) == (known, total - known)
        assert epochs.recomputed <= max(known / 3, 1)
    outcome = engine.run(one(name="added", epochs=total, schedules=branching_after(10)), store)
    assert (outcome.trained, outcome.recomputed) == (total - 7, 3)


def test_a_ladder_stays_as_a_trial_goes_on_and_is_shared_by_all_lengths(store: Store) -> None:
    engine.run(one(epochs=9, checkpoints="ladder"), store)
    keys = plan.make(one(epochs=20), store).cursors["sgd-constant-s0"].keys
    assert {keys[1], keys[3], keys[6], keys[8]} == store.checkpoints.complete()
    engine.run(one(epochs=20, checkpoints="ladder"), store)
    cursor = plan.make(one(epochs=20), store).cursors["sgd-constant-s0"]
    ladder = {cursor.keys[rung - 1] for rung in (2, 4, 7, 11, 17)}
    assert store.checkpoints.complete() == ladder | cursor.needed("val_accuracy")
    lengths = one(epochs=[9, 20], save_best=False)
    assert lengths.checkpoints == "ladder"
    before = store.checkpoints.complete()
    assert engine.run(lengths, store).trained == 0
    assert store.checkpoints.complete() == before
    assert set(resource_estimates.on_the_way(plan.make(lengths, store))) == ladder


def test_clean_leaves_a_ladder_until_no_sweep_wants_it(store: Store) -> None:
    engine.run(one(name="other", epochs=[6, 12]), store)
    ladder = store.checkpoints.complete()
    with store.lock("small"):
        checkpoint_retention.clean(plan.make(one(), store), store)
    assert store.checkpoints.complete() == ladder
    needed = one(name="other", epochs=[6, 12], checkpoints="needed")
    engine.run(needed, store)
    assert len(store.checkpoints.complete()) < len(ladder)
    lines = plan_and_status.facts(plan.make(one(epochs=[6, 12]), store), store)
    assert any("checkpoints: newest, best and a ladder of at most 4 a trial, 4 in all" in line for line in lines)
    assert not any("a ladder" in line for line in plan_and_status.facts(plan.make(needed, store), store))


def test_clean_frees_what_no_trial_needs_any_more_and_says_how_much(store: Store) -> None:
    engine.run(one(batch_size=32), store)
    engine.run(one(name="other", seeds=[1], monitor="loss"), store)
    others = store.checkpoints.complete() - plan.make(one(batch_size=32), store).cursors["sgd-constant-s0"].needed(
        "accuracy"
    )
    outdated = plan.make(one(), store)
    engine.run(one(), store)
    with store.lock("small"):
        freed = checkpoint_retention.clean(outdated, store)
    assert (freed.checkpoints, freed.bytes > 100) == (1, True)
    assert others <= store.checkpoints.complete()
    engine.run(one(epochs=5), store)
    assert store.notes("small") == {}


def test_a_checkpoint_that_is_gone_is_computed_again_and_held_against_the_record(store: Store) -> None:
    trial = "sgd-constant-s0"
    engine.run(one(epochs=2, save_best=False), store)
    for key in store.checkpoints.complete():
        store.checkpoints.delete(key)
    rows = store.read_trial("small", trial)
    store.write_history("small", trial, [rows[0], {**rows[1], "val_loss": 0.5, "host": "elsewhere"}])
    listener = engine.Silent()
    outcome = engine.run(one(epochs=3, save_best=False), store, listener=listener)
    assert (outcome.trained, outcome.recomputed) == (3, 2)
    note = store.notes("small")[trial]
    assert note.startswith("epoch 1, computed again on ")
    assert "recorded on elsewhere (cpu): 0.5. Another machine or library" in note
    assert listener.messages == [f"{trial}: {note}"]
    assert store.read_trial("small", trial)[1]["val_loss"] == 0.5


class ContraryTrainer(VectorTrainer):
    """Its validation loss is best in its first epoch, its validation accuracy in its last."""

    def epoch(self, n: int, learning_rates: npt.NDArray[np.float32]) -> dict[str, float]:
        """Train, and measure so."""
        return {**super().epoch(n, learning_rates), "val_loss": 1.0 + n, "val_accuracy": 0.1 * n}


def contrary(**changes: object) -> Sweep:
    return one(**{"trainer": f"{__name__}:ContraryTrainer", "monitor": "val_loss", **changes})


def test_clean_keeps_what_another_sweep_needs_now_whatever_it_was_before(store: Store) -> None:
    before, changed = (
        contrary(name="other", seeds=[1], **changes) for changes in ({"epochs": 9}, {"batch_size": 32})
    )
    engine.run(before, store)
    engine.run(changed, store)
    with store.lock("small"):
        checkpoint_retention.clean(plan.make(one(), store), store)
    cursor = plan.make(changed, store).cursors["sgd-constant-s1"]
    assert {cursor.keys[0], cursor.keys[-1]} <= store.checkpoints.complete()


def test_what_a_sweep_keeps_all_of_is_kept_whoever_cleans_or_runs(store: Store) -> None:
    engine.run(one(name="other", checkpoints="all"), store)
    every = store.checkpoints.complete()
    assert len(every) == 4
    with store.lock("small"):
        checkpoint_retention.clean(plan.make(one(), store), store)
    engine.run(one(epochs=6), store)
    assert every <= store.checkpoints.complete()


def test_a_best_model_that_is_gone_with_its_checkpoint_is_planned_and_made_again(store: Store) -> None:
    engine.run(contrary(), store)
    engine.run(contrary(name="other", epochs=2, monitor="val_accuracy"), store)  # holds a checkpoint half-way
    keys = plan.make(contrary(), store).cursors["sgd-constant-s0"].keys
    model = store.files.read("small/models/sgd-constant-s0.keras")
    store.files.delete("small/models/sgd-constant-s0.keras")
    store.checkpoints.delete(keys[0])
    planned = plan.make(contrary(), store)
    assert (len(planned.unfinished), planned.epochs.new, planned.epochs.recomputed) == (1, 0, 1)
    assert any("best models: 1 of finished trials" in line for line in plan_and_status.facts(planned, store))
    listener = engine.Silent()
    outcome = engine.run(contrary(), store, listener=listener)
    assert (outcome.trained, outcome.recomputed) == (1, 1)
    assert any("best models are missing" in message for message in listener.messages)
    assert store.files.read("small/models/sgd-constant-s0.keras") == model
    assert {keys[0], keys[-1]} <= store.checkpoints.complete()
    assert plan.make(contrary(), store).unfinished == ()


def test_epochs_taken_from_a_sweep_that_monitors_something_else_give_a_best_model_too(store: Store) -> None:
    engine.run(contrary(name="other", monitor="val_accuracy"), store)
    outcome = engine.run(contrary(), store)
    assert (outcome.trained, outcome.recomputed) == (1, 1)
    engine.assert_whole(contrary(), store, contrary(name="other", monitor="val_accuracy"))
    assert engine.run(contrary(), store).trained == 0


def test_a_trial_that_is_extended_without_its_best_checkpoint_has_its_best_model_at_the_end(store: Store) -> None:
    engine.run(contrary(epochs=2, save_best=False), store)
    store.checkpoints.delete(plan.make(contrary(), store).cursors["sgd-constant-s0"].keys[0])
    outcome = engine.run(contrary(), store)
    assert (outcome.trained, outcome.recomputed) == (2 + 1, 1)
    engine.assert_whole(contrary(), store)
