"""Which checkpoints stay when a run has ended, and what a person may free."""

from pathlib import Path

from orchestrator import plan, retention
from orchestrator.store import Store
from orchestrator.sweep import Sweep
from tests.conftest import small
from tests.faults import engine

ORPHAN = "ab" * 32


def one(**changes: object) -> Sweep:
    document = {"optimizers": {"sgd": {"class": "SGD"}}, "schedules": {"constant": {}}, "seeds": [0]}
    return small(**{**document, **changes})


def orphaned(store: Store) -> set[str]:
    """Leave in the store what runs leave there that die while they write."""
    store.write_checkpoint(ORPHAN, {})
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
    held = store.checkpoints()
    orphaned(store)
    engine.run(one(), store)
    assert held < store.checkpoints()
    assert ORPHAN not in store.checkpoints()
    assert engine.run(one(name="other", seeds=[1], epochs=5), store).trained == 1
    assert engine.run(one(batch_size=32, epochs=5), store).trained == 1


def test_a_run_that_keeps_all_checkpoints_frees_none(store: Store) -> None:
    engine.run(one(checkpoints="all"), store)
    assert len(store.checkpoints()) == 4
    engine.run(one(checkpoints="all"), store)
    assert len(store.checkpoints()) == 4


def test_clean_frees_what_no_trial_needs_any_more_and_says_how_much(store: Store) -> None:
    engine.run(one(batch_size=32), store)
    engine.run(one(name="other", seeds=[1], monitor="loss"), store)
    others = store.checkpoints() - plan.make(one(batch_size=32), store).walks["sgd-constant-s0"].needed("accuracy")
    outdated = plan.make(one(), store)
    engine.run(one(), store)
    with store.lock("small"):
        count, freed = retention.clean(outdated, store)
    assert (count, freed > 100) == (1, True)
    assert others <= store.checkpoints()
    engine.run(one(epochs=5), store)
    assert store.notes("small") == {}


def test_a_checkpoint_that_is_gone_is_computed_again_and_held_against_the_record(store: Store) -> None:
    trial = "sgd-constant-s0"
    engine.run(one(epochs=2, save_best=False), store)
    for key in store.checkpoints():
        store.delete_checkpoint(key)
    rows = store.read_trial("small", trial)
    store.write_history("small", trial, [rows[0], {**rows[1], "val_loss": 0.5, "host": "elsewhere"}])
    listener = engine.Silent()
    outcome = engine.run(one(epochs=3, save_best=False), store, listener=listener)
    assert (outcome.trained, outcome.again) == (3, 2)
    note = store.notes("small")[trial]
    assert note.startswith("epoch 1, computed again on ")
    assert "recorded on elsewhere (cpu): 0.5. Another machine or library" in note
    assert listener.said == [f"{trial}: {note}"]
    assert store.read_trial("small", trial)[1]["val_loss"] == 0.5
