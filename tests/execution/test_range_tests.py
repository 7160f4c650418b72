"""Range tests of a sweep: run first, once, kept, and their answers in the trials and their keys."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.execution import range_tests
from orchestrator.execution.run import run_sweep
from orchestrator.planning import lr_range_tests, plan
from orchestrator.planning.plan import Plan
from orchestrator.planning.root_key import RootFacts
from orchestrator.spec.sweep import Sweep
from orchestrator.storage import sweep_state
from orchestrator.storage.store import Store
from tests.support.command import command
from tests.support.silent import Silent
from tests.support.sweeps import small, written

OPTIMIZERS = {"sgd": {"class": "SGD", "learning_rate": "auto"}, "adam": {"class": "Adam"}}
AUTO: dict[str, Any] = {
    "optimizers": OPTIMIZERS,
    "schedules": {"constant": {}, "one-cycle": {"peak": "auto"}, "low": {"name": "cosine", "peak": 0.001}},
}
pytestmark = pytest.mark.usefixtures("ray_session")


def measured(sweep: Sweep, store: Store) -> Plan:
    """The plan after its range tests."""
    messages: list[str] = []
    before = plan.make(sweep, store)
    assert range_tests.run(before.open_tests, sweep.trainer, store, messages.append) == {}
    assert len(messages) == len(before.open_tests)
    return plan.make(sweep, store)


def test_a_rate_that_is_to_be_found_is_not_known_before_its_test(store: Store) -> None:
    planned = plan.make(small(**AUTO), store)
    assert {test.label for test in planned.open_tests} == {"sgd", "adam"}
    waiting = {trial.removesuffix("-s0").removesuffix("-s1") for trial in planned.provisional}
    assert waiting == {"sgd-constant", "sgd-one-cycle", "adam-one-cycle"}
    assert planned.epochs.total == planned.epochs.new == 48


def test_its_answer_is_in_the_keys_as_if_it_had_been_written_by_hand(store: Store) -> None:
    after = measured(small(**AUTO), store)
    assert not after.open_tests
    assert not after.provisional
    answers = {test.label: test.answer for test in after.tests}
    assert answers["sgd"] == pytest.approx(0.01, rel=0.5)
    assert answers["adam"] == pytest.approx(0.001, rel=0.5)
    for optimizer, schedule in (("sgd", "constant"), ("sgd", "one-cycle"), ("adam", "one-cycle")):
        by_hand = small(
            optimizers={optimizer: {**OPTIMIZERS[optimizer], "learning_rate": answers[optimizer]}},
            schedules={schedule: {}},
        )
        (trial, _) = plan.make(by_hand, store).trials
        chain = plan.make(by_hand, store).cursors[trial.id].chain
        assert chain.root == after.cursors[trial.id].chain.root
        assert (chain.table == after.cursors[trial.id].chain.table).all()


def test_a_sweep_with_found_rates_trains_and_says_where_they_come_from(store: Store) -> None:
    from orchestrator.analysis import status

    sweep = small(**AUTO)
    after = measured(sweep, store)
    outcome = run_sweep(sweep, store, Silent())
    assert (outcome.trained, outcome.failed) == (48, {})
    assert outcome.plan.tests == after.tests
    comparison = status.comparison(outcome.plan, sweep_state.read(store, sweep.name))
    assert any("learning rate of sgd was found by a range test of 200 steps" in note for note in comparison.notes)


def test_no_ramp_is_run_twice_by_whatever_sweep(store: Store) -> None:
    measured(small(**AUTO), store)
    other = small(name="other", epochs=9, seeds=[0, 5], optimizers=OPTIMIZERS, schedules={"linear": {}})
    assert not plan.make(other, store).open_tests
    # Other batches, other seeds, another ramp: other losses.
    for change in (
        {"batch_size": 32},
        {"seeds": [1]},
        {"range_test": {"steps": 100}},
        {"model": {"width": 0.125}},
    ):
        assert plan.make(small(**AUTO, **change), store).open_tests


def test_what_a_test_does_not_depend_on_shares_it(store: Store) -> None:
    grid = {"epochs": [2, 4], "schedules.one-cycle.start_division": [10, 25], "model.width": [0.0625, 0.125]}
    sweep = small(**AUTO, grid=grid)
    labels = [test.label for test in plan.make(sweep, store).open_tests]
    assert sorted(labels) == ["adam-width=0.0625", "adam-width=0.125", "sgd-width=0.0625", "sgd-width=0.125"]


def test_a_damaged_curve_is_found_and_measured_again(store: Store) -> None:
    after = measured(small(**AUTO), store)
    (path, *_) = (Path(str(store)) / "range-tests").iterdir()
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1.99", b"1.98", 1))
    assert path.read_bytes() != content
    planned = plan.make(small(**AUTO), store)
    assert [damage.name for damage in planned.damaged] == [f"range-tests/{path.name}"]
    assert len(planned.open_tests) == 1
    repeated = measured(small(**AUTO), store)
    assert repeated.damaged == ()
    assert {t.key: t.curve["loss"] for t in repeated.tests if t.curve} == {
        t.key: t.curve["loss"] for t in after.tests if t.curve
    }


def test_lr_find_prints_and_draws_and_keeps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, results = written(tmp_path, **AUTO), tmp_path / "r"
    code, out, err = command("lr-find", file, "--results", results, capture=capsys)
    assert code == 0
    assert "range test sgd: " in err
    for words in ("steepest", "minimum", "valley", "1e-3", "learning rate"):
        assert words in out
    code, repeated, err = command("lr-find", file, "--results", results, capture=capsys)
    assert (code, repeated, err) == (0, out, "")
    picture = tmp_path / "curves.svg"
    code, out, err = command(
        "lr-find", file, "--results", results, "--json", "--optimizer", "adam", "--output", picture, capture=capsys
    )
    (curve,) = json.loads(out)["range_tests"]
    assert (code, curve["label"], curve["trouble"]) == (0, "adam", None)
    assert curve["auto"] == curve["suggestions"]["valley"]
    assert len(curve["learning_rate"]) == len(curve["loss"]) == len(curve["smoothed"])
    assert picture.read_text().lstrip().startswith("<?xml")


def test_run_does_the_tests_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, results = written(tmp_path, **AUTO), tmp_path / "r"
    code, out, _ = command("plan", file, "--results", results, capture=capsys)
    assert "range tests run first (sgd, adam;" in out
    code, out, _ = command("plan", file, "--results", results, "--json", capture=capsys)
    rates = {trial["id"]: trial["learning_rate"] for trial in json.loads(out)["trials"]}
    assert rates["sgd-constant-s0"] is None
    assert rates["adam-constant-s0"] == [pytest.approx(0.001)] * 4
    code, out, err = command("run", file, "--results", results, "--json", capture=capsys)
    assert (code, json.loads(out)["epochs"]["trained"]) == (0, 48)
    assert "range test sgd: " in err
    code, out, _ = command("plan", file, "--results", results, capture=capsys)
    assert "auto: sgd has the learning rate 0.0" in " ".join(out.split())


@pytest.mark.parametrize("verb", ["lr-find", "run"])
def test_one_sweep_may_test_with_several_numbers_of_threads(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = {"resources.cpus_per_trial": [1, 2]}
    file = written(tmp_path, **AUTO, grid=grid, trainer="tests.support.fakes:SteadyTrainer", seeds=[0], epochs=1)
    code, _, err = command(verb, file, "--results", tmp_path / "r", capture=capsys)
    assert (code, err.count("range test "), "failed" in err) == (0, 4, False), err


@pytest.mark.parametrize("verb", ["lr-find", "run"])
@pytest.mark.parametrize(
    ("trainer", "sentence"),
    [
        ("RefusingTrainer", "data.path: the photos have gone"),
        ("BurningTrainer", "RuntimeError: the weights caught fire"),
        ("WithoutRangeTest", "trainer: tests.support.fakes:WithoutRangeTest has no method range_test"),
    ],
)
def test_why_a_test_failed_is_one_sentence(
    verb: str, trainer: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, **AUTO, trainer=f"tests.support.fakes:{trainer}")
    code, out, err = command(verb, file, "--results", tmp_path / "r", capture=capsys)
    assert (code, out) == (1, "")
    lines = [line for line in err.splitlines() if "range test" in line]
    assert len(lines) == 2
    assert all(f": failed: {sentence}" in line for line in lines)
    assert not {"Traceback", "ray::", "pid="} & set(err.replace("(", " ").split())
    assert "ray::" not in err


@pytest.mark.parametrize("verb", ["lr-find", "run"])
def test_a_worker_that_cannot_use_the_store_ends_the_command(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, **AUTO, trainer="tests.support.fakes:LockedOutTrainer")
    code, out, err = command(verb, file, "--results", tmp_path / "r", capture=capsys)
    assert (code, out) == (1, "")
    assert "error: this node does not see the results" in err
    assert "ray::" not in err


def test_no_usable_region_is_said_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, results = written(tmp_path, **AUTO, trainer="tests.support.fakes:UnteachableTrainer"), tmp_path / "r"
    code, _, err = command("run", file, "--results", results, capture=capsys)
    assert code == 2
    assert "auto: its range test has no usable region: the loss never falls clearly" in err
    assert Store.at(str(results)).sweeps() == ["small"]
    assert not Store.at(str(results)).history("small")[0]
    code, out, _ = command("lr-find", file, "--results", results, capture=capsys)
    assert (code, out.count("no usable region")) == (0, 2)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, ("--optimizer", "adm"), "--optimizer: unknown optimizer 'adm'; did you mean 'adam'?"),
        ({}, ("--output", "curves.gif"), "expected FILE.svg or FILE.png"),
        ({"schedules": {"range-test": {"peak": "auto"}}}, (), "range-test gives learning rates itself"),
        (
            {"optimizers": {"sgd": {"class": "SGD", "learning_rate": "automatic"}}},
            (),
            "learning_rate: input should",
        ),
        ({"name": "range-tests"}, (), "is taken by a file or folder of every store"),
    ],
)
def test_mistakes(
    changes: dict[str, Any],
    options: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import json

    path = tmp_path / "small.yaml"
    path.write_text(json.dumps({**small().document, **changes}))
    code, _, err = command("lr-find", path, "--results", tmp_path / "r", *options, capture=capsys)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_the_same_reading_of_a_range_test_that_was_trained_as_a_schedule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"schedules": {"range-test": {}}, "epochs": 12, "seeds": [0]}
    file, results = written(tmp_path, **changes), tmp_path / "r"
    assert command("run", file, "--results", results, capture=capsys)[0] == 0
    _, out, _ = command("lr-find", file, "--results", results, "--json", capture=capsys)
    by_epoch = [c for c in json.loads(out)["range_tests"] if c["unit"] == "epoch"]
    assert [c["label"] for c in by_epoch] == ["sgd-range-test-s0", "adam-range-test-s0"]
    assert all(len(c["learning_rate"]) == 12 and c["lowest"] > 0 for c in by_epoch)


def test_the_key_of_a_test_is_no_epochs_key(store: Store) -> None:
    sweep = small(**AUTO)
    tests, _ = lr_range_tests.of_optimizers(sweep, RootFacts(sweep.trainer), store)
    epochs = {cursor.next_key for cursor in plan.make(sweep, store).cursors.values()}
    assert len({test.key for test in tests}) == 2
    assert not epochs & {test.key for test in tests}
