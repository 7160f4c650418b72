"""Momentum cycled against the rate: its tables by hand, its keys, and the pairs that cannot have it."""

import doctest
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import optimizers
from experiments.schedules import momentum
from experiments.schedules.schedule import SHAPES, check, momentum_table, table
from experiments.settings import InputError
from orchestrator.planning import epoch_chain, plan
from orchestrator.storage.store import Store
from tests.support.command import command
from tests.support.sweeps import small

ONE_CYCLE = {"up": 0.4, "down": 0.4, "tail": 0.2, "start_division": 10, "final_division": 100}
CYCLED = {"name": "one-cycle", "momentum": {}}


def test_examples() -> None:
    assert doctest.testmod(momentum).failed == 0


# shape, settings, the momentum at the beginning of each epoch
CASES: list[tuple[str, dict[str, Any], list[float]]] = [
    # Smith & Topin: from 0.95 down to 0.85 while the rate rises, back up, and no further in the tail.
    ("one-cycle", ONE_CYCLE, [0.95, 0.925, 0.9, 0.875, 0.85, 0.875, 0.9, 0.925, 0.95, 0.95]),
    ("triangular", {"period": 4, "base": 0.2}, [0.95, 0.9, 0.85, 0.9, 0.95, 0.9]),
    ("triangular2", {"period": 4, "base": 0.2}, [0.95, 0.9, 0.85, 0.9, 0.95, 0.925, 0.9, 0.925, 0.95]),
    ("exp-range", {"period": 4, "base": 0.2, "gamma": 0.5}, [0.95, 0.925, 0.925, 0.94375, 0.95]),
    # A warm-up in front rises to the peak, and the momentum falls with it.
    ("triangular", {"period": 2, "base": 0.2, "warmup": {"epochs": 2, "start": 0.2}}, [0.95, 0.9, 0.95, 0.85]),
]


@pytest.mark.parametrize(("name", "given", "expected"), CASES)
def test_against_numbers_written_out(name: str, given: dict[str, Any], expected: list[float]) -> None:
    schedule = check("s", name, {**given, "momentum": {"low": 0.85, "high": 0.95}})
    for steps in (1, 4):
        found = momentum_table(schedule, len(expected), steps)
        assert found is not None
        assert found.dtype == np.float32
        assert found.flags.c_contiguous
        np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6)


def test_every_shape_that_cycles_has_a_case() -> None:
    assert {case[0] for case in CASES} == {name for name, row in SHAPES.items() if row.lowest}


@pytest.mark.parametrize("name", sorted({case[0] for case in CASES}))
def test_it_is_high_while_the_rate_is_low_and_the_reverse(name: str) -> None:
    schedule = check("s", name, {"momentum": {"low": 0.6, "high": 0.9}})
    rates, momenta = table(schedule, 0.1, 12, 9), momentum_table(schedule, 12, 9)
    assert momenta is not None
    assert momenta.shape == rates.shape
    assert (momenta >= np.float32(0.6)).all()
    assert (momenta <= np.float32(0.9)).all()
    assert (np.diff(rates.ravel()) * np.diff(momenta.ravel()) <= 0).all()
    assert momenta.ravel()[rates.argmax()] == momenta.min()


def test_the_rates_are_those_of_the_schedule_without() -> None:
    plain, cycled = (check("s", "one-cycle", given) for given in ({}, {"momentum": {}}))
    assert table(plain, 0.1, 12, 9).tobytes() == table(cycled, 0.1, 12, 9).tobytes()
    assert momentum_table(plain, 12, 9) is None
    by_epoch = momentum_table(check("s", "one-cycle", {"momentum": {}, "by": "epoch"}), 12, 9)
    assert by_epoch is not None
    assert (by_epoch == by_epoch[:, :1]).all()


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("cosine", {"momentum": {}}, r"^s\.momentum: cosine has no cycles .*: exp-range, one-cycle, triangular"),
        ("one-cycle", {"momentum": 0.9}, r"^s\.momentum: expected settings such as \{low: 0.85, high: 0.95\}"),
        ("one-cycle", {"momentum": {"hi": 0.9}}, r"^s\.momentum\.hi: unknown setting 'hi'; did you mean 'high'\?"),
        (
            "one-cycle",
            {"momentum": {"high": 1.0}},
            r"^s\.momentum\.high: expected at least 0 and below 1, got 1\.0",
        ),
        ("one-cycle", {"momentum": {"low": -0.1}}, r"^s\.momentum\.low: expected at least 0 and below 1"),
        ("one-cycle", {"momentum": {"low": 0.95}}, r"^s\.momentum: expected low below high, got 0\.95 and 0\.95"),
        (
            "one-cycle",
            {"momentum": {}, "start_division": 1},
            r"^s\.momentum: this one-cycle never leaves its peak",
        ),
        ("triangular", {"momentum": {}, "base": 1}, r"^s\.momentum: this triangular never leaves its peak"),
        ("one-cycle", {"momentun": {}}, r"did you mean 'momentum'\?"),
    ],
)
def test_what_cannot_be(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check("s", name, given)


def test_the_key_covers_the_momentum_and_is_as_it_was_without() -> None:
    root = epoch_chain.root_key({"seed": 0})
    rates, momenta = np.array([0.1, 0.25], np.float32), np.array([0.95, 0.85], np.float32)
    without = hashlib.sha256(bytes.fromhex(root) + rates.astype("<f4").tobytes()).hexdigest()
    content = bytes.fromhex(root) + rates.astype("<f4").tobytes() + momenta.astype("<f4").tobytes()
    assert epoch_chain.epoch_key(root, rates) == without
    assert epoch_chain.epoch_key(root, rates, momenta) == hashlib.sha256(content).hexdigest() != without
    assert epoch_chain.epoch_key(root, rates, momenta[::-1]) != epoch_chain.epoch_key(root, rates, momenta)


def test_a_walk_meets_the_keys_that_were_foreseen() -> None:
    rates, momenta = np.full((3, 2), 0.1, np.float32), np.linspace(0.9, 0.8, 6, dtype=np.float32).reshape(3, 2)
    chain = epoch_chain.EpochChain(epoch_chain.root_key({"seed": 0}), rates, momentum=momenta)
    cursor = epoch_chain.ChainCursor(chain)
    foreseen = cursor.foreseen()
    assert foreseen != epoch_chain.ChainCursor(epoch_chain.EpochChain(chain.root, rates)).foreseen()
    good = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5}
    for key in foreseen:
        assert cursor.next_key == key
        cursor.append(key, good)
    assert cursor.ending == "completed"


OPTIMIZERS = {"sgd": {"class": "SGD", "learning_rate": 0.01, "momentum": 0.9}, "adam": {"class": "Adam"}}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"class": "Adagrad"}, r"^o-one: the schedule cycles the momentum, and Adagrad has none;"),
        ({"class": "Adafactor"}, "Adafactor has none"),
        ({"class": "ScheduleFreeAdamW"}, "tells its two averages apart by a beta_1 that stays the same"),
        ({"class": "SGD"}, r"this SGD is one without it \(momentum 0\); set momentum above 0"),
        ({"class": "RMSprop"}, r"this RMSprop is one without it \(momentum 0\)"),
        ({"class": "Adam", "beta_1": 0}, r"this Adam is one without it \(beta_1 0\)"),
    ],
)
def test_pairs_that_cannot_work_are_refused_by_the_plan(given: dict[str, Any], message: str, store: Store) -> None:
    with pytest.raises(InputError, match=message):
        plan.make(small(optimizers={"o": given}, schedules={"one": CYCLED}), store)
    plan.make(small(optimizers={"o": given}, schedules={"one-cycle": {}}), store)


def test_rates_that_train_nothing_are_refused() -> None:
    sgd = optimizers.check("o", {"class": "SGD"})
    with pytest.raises(InputError, match=r"^o: every learning rate of the run is 0"):
        optimizers.require("o", sgd, np.zeros((2, 3), np.float32))
    optimizers.require("o", sgd, np.array([[0, 0, 0], [0, 0, 0.1]], np.float32))


def test_gradients_that_are_never_applied_are_refused() -> None:
    steps = np.full((2, 3), 0.1, np.float32)
    optimizers.require("o", optimizers.check("o", {"class": "SGD", "gradient_accumulation_steps": 6}), steps)
    with pytest.raises(InputError, match="gradient_accumulation_steps is 7 and the whole run has 6 batches"):
        optimizers.require("o", optimizers.check("o", {"class": "SGD", "gradient_accumulation_steps": 7}), steps)


def written(folder: Path, **changes: Any) -> Path:
    """A sweep file with a schedule that cycles the momentum and one that does not."""
    found = small(optimizers=OPTIMIZERS, schedules={"plain": {"name": "one-cycle"}, "one": CYCLED}, **changes)
    path = folder / "small.yaml"
    path.write_text(json.dumps(found.document))
    return path


def test_the_plan_has_a_momentum_where_there_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command("plan", written(tmp_path), "--json", "--results", tmp_path / "r", capture=capsys)
    assert code == 0
    found = {t["id"]: t.get("momentum") for t in json.loads(out)["trials"]}
    assert found["sgd-plain-s0"] is None
    assert found["sgd-one-s0"] == found["adam-one-s1"]
    assert found["sgd-one-s0"][0] == pytest.approx(0.95)
    assert len(found["sgd-one-s0"]) == 4


def test_a_pair_that_cannot_work_leaves_with_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["plan", written(tmp_path), "-S", "optimizers.adam.class=Adagrad", "--results", tmp_path / "r"]
    code, out, err = command(*arguments, capture=capsys)
    assert (code, out) == (2, "")
    assert "adam-one: the schedule cycles the momentum, and Adagrad has none" in err


@pytest.mark.usefixtures("ray_session")
def test_a_run_cycles_it_and_shares_nothing_with_one_that_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, results = written(tmp_path, trainer="tests.support.fakes:MomentumTrainer"), ("--results", tmp_path / "r")
    code, out, _ = command("run", file, *results, "--json", "-S", "epochs=4", capture=capsys)
    assert code == 0
    assert json.loads(out)["epochs"] == {"total": 32, "trained": 32, "reused": 0}
    _, out, _ = command("report", file, *results, "--json", capture=capsys)
    ends = {(r["optimizer"], r["schedule"]): r["final"]["loss"]["mean"] for r in json.loads(out)["recipes"]}
    assert ends["sgd", "plain"] != ends["sgd", "one"]
    code, out, _ = command("run", file, *results, "--json", capture=capsys)
    assert json.loads(out)["epochs"] == {"total": 32, "trained": 0, "reused": 32}


def test_a_trainer_that_takes_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = command("run", written(tmp_path), "--results", tmp_path / "r", capture=capsys)
    assert (code, out) == (2, "")
    assert (
        "tests.support.fakes:VectorTrainer trains epochs without a momentum, which the schedule of sgd-one cycles"
        in err
    )
    assert not (tmp_path / "r").exists()
