"""Several training lengths by one trunk: what they cost, and that they are what each would be alone."""

from pathlib import Path
from typing import Any

import pytest

from experiments.settings import InputError
from orchestrator.planning import plan
from orchestrator.spec import trials
from orchestrator.storage.store import Store
from tests.support import engine
from tests.support.command import command
from tests.support.sweeps import small, written

LENGTHS = (10, 20, 40, 80)
CHANGES: dict[str, Any] = {
    "optimizers": {"sgd": {"class": "SGD", "learning_rate": 0.01}},
    "schedules": {"constant": {}, "decay": {"name": "warm-up-stable-decay", "decay_fraction": 0.2}},
    "seeds": [0],
}


def test_four_lengths_of_one_trunk_cost_065_of_separate_runs_and_are_equal_to_the_bit(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path / "together"))
    together = engine.run(small(**CHANGES, epochs=list(LENGTHS)), store)
    trained = 0
    for length in LENGTHS:
        alone = Store.at(str(tmp_path / f"{length}"))
        trained += engine.run(small(**CHANGES, epochs=length), alone, share=False).trained
        by_trial = {row["trial_id"] for row in engine.numbers(alone)}
        for trial in by_trial:
            name = trial.replace("-s0", f"-epochs={length}-s0")
            of_length = [{**r, "trial_id": trial} for r in engine.numbers(store) if r["trial_id"] == name]
            assert of_length == [row for row in engine.numbers(alone) if row["trial_id"] == trial]
            assert len(of_length) == length
    assert trained == 2 * sum(LENGTHS)
    assert together.recomputed == 0
    assert together.trained == 80 + (64 + 2 + 4 + 8 + 16)
    assert together.trained / trained <= 0.65


def test_a_trial_of_several_lengths_has_the_keys_of_that_length_alone(store: Store) -> None:
    changes = {"seeds": [0], "schedules": {"constant": {}, "cosine": {}}}
    listed = plan.make(small(**changes, epochs=[2, 5, 3]), store)
    assert [t.id for t in listed.trials][:4] == [
        *(f"sgd-constant-epochs={length}-s0" for length in (2, 5, 3)),
        "sgd-cosine-epochs=2-s0",
    ]
    axis = plan.make(small(**changes, epochs=9, grid={"epochs": [2, 5, 3]}), store)
    assert [t.id for t in listed.trials] == [t.id for t in axis.trials]
    for length in (2, 5, 3):
        for trial_id, cursor in plan.make(small(**changes, epochs=length), store).cursors.items():
            same = listed.cursors[trial_id.replace("-s0", f"-epochs={length}-s0")]
            assert same.foreseen() == cursor.foreseen()
            assert len(same.foreseen()) == length
    one_length = plan.make(small(**changes, epochs=[5]), store)
    assert one_length.cursors.keys() == plan.make(small(**changes, epochs=5), store).cursors.keys()
    assert one_length.sweep.checkpoints == "needed"


def test_the_length_is_the_first_axis_and_a_recipe_keeps_its_own() -> None:
    recipes = [
        {"optimizer": "sgd", "schedule": "constant"},
        {"optimizer": "adam", "schedule": "cosine", "epochs": 7},
    ]
    every = trials.recipes(small(epochs=[3, 6], grid={"batch_size": [16, 32]}, recipes=recipes))
    assert [(r.label, r.settings.epochs) for r in every] == [
        ("sgd-constant-epochs=3-batch_size=16", 3),
        ("sgd-constant-epochs=3-batch_size=32", 3),
        ("sgd-constant-epochs=6-batch_size=16", 6),
        ("sgd-constant-epochs=6-batch_size=32", 6),
        ("adam-cosine-batch_size=16", 7),
        ("adam-cosine-batch_size=32", 7),
    ]
    with pytest.raises(InputError, match=r"epochs=2: .* the warm-up takes 3 epochs"):
        trials.recipes(small(epochs=[2, 6], schedules={"cosine": {"warmup": {"epochs": 3}}}))


def test_an_override_is_a_list_or_ends_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for changes, override, epochs in (({}, "[1, 3]", 4 * 2 * 4), ({"epochs": [5, 6]}, "3", 4 * 2 * 3)):
        file = written(tmp_path, **changes)
        arguments = ("plan", str(file), "-S", f"epochs={override}", "--results", str(tmp_path / "none"))
        code, out, err = command(*arguments, capture=capsys)
        assert (code, err) == (0, "")
        assert f" {epochs} epochs, " in out.replace("\n", " ")
        assert ("and a ladder of at most 1 a trial" in out.replace("\n", " ")) == (override == "[1, 3]")
