"""The sweep file: what it means, and what is wrong with a wrong one."""

import re
from pathlib import Path
from typing import Any

import pytest

from experiments.settings import InputError
from orchestrator.spec import sweep, trials
from tests.support.command import ROOT
from tests.support.sweeps import small


def ids(**changes: Any) -> list[str]:
    return [t.id for t in trials.trials(small(**changes))]


def test_the_grid_is_optimizers_times_schedules_times_seeds() -> None:
    assert ids() == [
        f"{o}-{s}-s{seed}" for o in ("sgd", "adam") for s in ("constant", "cosine") for seed in (0, 1)
    ]


def test_ids_are_safe_short_file_names_and_no_two_the_same_whatever_the_values() -> None:
    long = [{"a" * 90: n, "b" * 90: -n} for n in range(2)]
    labels = ["sgd-cosine-width=0.5", "Sgd-cosine", "sgd-cosine", "sgd-x=../../up", "sgd-x=..-..-up", "sgd-x=a b"]
    labels += [f"sgd-one={first}-two={second}" for first in long for second in long]
    found = trials.recipe_ids(labels)
    assert found["sgd-cosine-width=0.5"] == "sgd-cosine-width=0.5"
    assert found["sgd-x=..-..-up"] == "sgd-x=..-..-up"
    assert len({name.casefold() for name in found.values()}) == len(labels)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+=-]{0,119}", name) for name in found.values())
    assert trials.recipe_ids(labels[::-1]) == found


def test_recipes_take_the_place_of_the_grid_and_override_settings() -> None:
    recipes = [
        {"optimizer": "sgd", "schedule": "cosine", "epochs": 10, "model": {"width": 0.5}},
        {"optimizer": "adam", "schedule": {"name": "step", "every": 2, "peak": 0.3}},
    ]
    found = trials.recipes(small(recipes=recipes))
    assert [r.label for r in found] == ["sgd-cosine", "adam-step"]
    assert (found[0].settings.epochs, found[0].settings.model.width) == (10, 0.5)
    assert (found[1].settings.epochs, found[1].peak) == (4, 0.3)


def test_grid_axes_multiply_and_concern_their_own_label_only() -> None:
    axes = {"batch_size": [16, 64], "optimizers.sgd.learning_rate": [0.1, 0.01]}
    found = trials.recipes(small(grid=axes, schedules={"constant": {}}, seeds=[0]))
    assert [r.label for r in found] == [
        "sgd-constant-batch_size=16-learning_rate=0.1",
        "sgd-constant-batch_size=16-learning_rate=0.01",
        "sgd-constant-batch_size=64-learning_rate=0.1",
        "sgd-constant-batch_size=64-learning_rate=0.01",
        "adam-constant-batch_size=16",
        "adam-constant-batch_size=64",
    ]
    assert [(r.settings.batch_size, r.peak) for r in found[:2]] == [(16, 0.1), (16, 0.01)]


def test_a_nested_grid_means_the_same_as_a_dotted_one() -> None:
    assert ids(grid={"model": {"width": [0.25, 0.5]}}) == ids(grid={"model.width": [0.25, 0.5]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": 3}, "epoch: unknown setting 'epoch'; did you mean 'epochs'?"),
        ({"optimizers": {"a": {"class": "Adan"}}}, "optimizers.a.*'Adan'; did you mean 'Adam'?"),
        ({"optimizers": {"a": {"class": "Adam", "beta": 1}}}, "unknown setting 'beta'; did you mean 'beta_"),
        ({"schedules": {"cosin": {}}}, "schedules.cosin: unknown schedule 'cosin'; did you mean 'cosine'?"),
        ({"schedules": {"cosine": {"finl": 1}}}, "did you mean 'final'?"),
        ({"schedules": {"cosine": {"warmup": {"epochs": 9}}}}, "sgd-cosine: schedules.cosine.*9"),
        ({"model": {"name": "vgg15"}}, "did you mean 'vgg1"),
        ({"data": {"name": "digit", "image_size": 32}}, "did you mean 'digits'?"),
        ({"data": {"name": "digits", "image_size": 8}}, "image_size"),
        ({"optimizers": {}}, "optimizers: expected at least one"),
        ({"schedules": {}}, "schedules: expected at least one"),
        ({"seeds": []}, "seeds: expected at least one"),
        ({"seeds": [1, 1]}, "seeds: a seed stands twice"),
        ({"epochs": 0}, "epochs: expected 1 to 100,000, got 0"),
        ({"epochs": "many"}, "epochs: .*'many'"),
        ({"batch_size": "half"}, "batch_size: expected a number of images or 'full', got 'half'"),
        ({"batch_size": 0}, "batch_size: expected 1 to 2,147,483,647 images, got 0"),
        ({"monitor": "val_acc"}, "did you mean 'val_accuracy'?"),
        ({"precision": "float64"}, "precision: unknown value 'float64'; did you mean 'float32'?"),
        ({"resources": {"cpus_per_trail": 2}}, "did you mean 'cpus_per_trial'?"),
        ({"resources": {"gpus_per_trial": 1.5}}, "gpus_per_trial"),
        ({"grid": {"batch_size": 16}}, "grid.batch_size: expected a list"),
        ({"grid": {"batch_size": [16, 16]}}, "grid.batch_size: a value stands twice"),
        ({"grid": {"batchsize": [16]}}, "did you mean 'batch_size'?"),
        ({"recipes": []}, "recipes: expected a list of at least one"),
        ({"recipes": [{"optimizer": "sgd", "schedule": "cosin"}]}, "did you mean 'cosine'?"),
        ({"recipes": [{"optimizer": "sg", "schedule": "cosine"}]}, "did you mean 'sgd'?"),
        ({"recipes": [{"optimizer": "sgd", "schedule": "cosine"}] * 2}, "'sgd-cosine' stands twice"),
        ({"recipes": [{"optimizer": "sgd", "schedule": "cosine", "epoch": 3}]}, "did you mean 'epochs'?"),
        ({"early_stopping": {"monitor": "val_accuracy", "patence": 1}}, "did you mean 'patience'?"),
        ({"checkpoints": "none"}, "checkpoints"),
        ({"epochs": [2, 2]}, "epochs"),
        ({"name": "a b"}, "name: expected a label"),
        ({"optimizers": {"a/b": {"class": "SGD"}}}, "optimizers.a/b: expected a label"),
    ],
)
def test_a_wrong_sweep_is_refused_and_the_message_helps(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        trials.trials(small(**changes))


def test_an_error_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("epochs: 3\nschedule: {}\n")
    with pytest.raises(InputError, match=r"mine\.yaml: schedule: .*did you mean 'schedules'\?"):
        sweep.load(path)


def test_the_article_is_all_there() -> None:
    found = trials.recipes(sweep.load(ROOT / "experiments" / "modelarts.yaml"))
    assert [(r.label, r.settings.epochs, r.peak) for r in found] == [
        ("sgd-power", 10, 0.1),
        ("sgd-linear", 10, 0.1),
        ("sgd-exponential", 10, 0.1),
        ("sgd-cosine", 10, 0.1),
        ("sgd-cosine-corrected", 10, 0.1),
        ("sgd-constant", 36, 0.01),
        ("sgd-nesterov-constant", 36, 0.01),
        ("sgd-small-constant", 36, 0.0001),
        ("rmsprop-constant", 36, 0.0001),
        ("adam-constant", 36, 0.0001),
        ("sgd-sgdr", 40, 0.01),
        ("sgd-range-test", 36, 0.01),
        ("sgd-one-cycle", 40, 0.1),
        ("sgd-one-cycle-corrected", 40, 0.1),
    ]
    assert {r.settings.batch_size for r in found} == {16}
    assert found[6].optimizer.decay == 1e-6


@pytest.mark.parametrize("name", ["quickstart", "full-grid", "modelarts"])
def test_every_shipped_sweep_can_be_overridden(name: str) -> None:
    path = ROOT / "experiments" / f"{name}.yaml"
    found = trials.trials(sweep.load(path, {"epochs": 3, "model.width": 0.25, "data.image_size": 64}))
    assert {t.recipe.settings.epochs for t in found} == {3}
    assert {t.recipe.settings.model.width for t in found} == {0.25}


def labels(overrides: dict[str, Any], **changes: Any) -> list[str]:
    """The recipes of a small sweep that the command line overrides."""
    document = small(schedules={"cosine": {}}, seeds=[0]).document
    return [r.label for r in trials.recipes(sweep.from_document({**document, **changes}, overrides))]


def test_a_schedule_in_place_is_overridden_as_one_with_a_label() -> None:
    recipes = [
        {"optimizer": "sgd", "schedule": {"name": "step", "every": 2}},
        {"optimizer": "sgd", "schedule": "rex"},
    ]
    found = sweep.from_document(
        small(recipes=recipes).document, {"schedules.step.every": 1, "schedules.rex.peak": 0.2}
    )
    assert (found.schedules["step"].settings["every"], found.schedules["rex"].peak) == (1.0, 0.2)


def test_the_same_schedule_may_be_given_in_place_twice() -> None:
    schedule = {"name": "step", "every": 2}
    recipes = [{"optimizer": o, "schedule": dict(schedule)} for o in ("sgd", "adam")]
    assert [r.label for r in trials.recipes(small(recipes=recipes))] == ["sgd-step", "adam-step"]


def test_an_override_that_leaves_an_axis_no_difference_ends_it() -> None:
    axes = {"model": [{"width": 0.25}, {"width": 0.5}], "batch_size": [16, 32]}
    assert labels({"model.width": 1, "optimizers": {"sgd": {"class": "SGD"}}}, grid=axes) == [
        "sgd-cosine-batch_size=16",
        "sgd-cosine-batch_size=32",
    ]


def test_an_axis_multiplies_only_what_it_changes() -> None:
    axes = {"optimizers.sgd.learning_rate": [0.1, 0.2]}
    schedules = {"cosine": {}, "own": {"name": "cosine", "peak": 0.3}}
    assert labels({}, schedules=schedules, grid=axes) == [
        "sgd-cosine-learning_rate=0.1",
        "sgd-cosine-learning_rate=0.2",
        "sgd-own",
        "adam-cosine",
        "adam-own",
    ]


def test_an_axis_of_a_cycled_momentum_changes_nothing() -> None:
    axes = {"optimizers.sgd.momentum": [0.8, 0.9]}
    schedules = {"one-cycle": {"momentum": {}}}
    with pytest.raises(InputError, match=r"grid\.optimizers\.sgd\.momentum: would change no trial"):
        labels({}, schedules=schedules, grid=axes)


def test_values_of_one_axis_that_mean_the_same_are_refused() -> None:
    with pytest.raises(InputError, match=r"sgd-cosine-width=1 and sgd-cosine-width=1\.0 train the same"):
        labels({}, grid={"model.width": [1, 1.0, 2]})


@pytest.mark.parametrize("key", ["results", "data.path"])
def test_a_tilde_is_the_users_folder(key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    changes = (
        {"results": "~/r"} if key == "results" else {"data": {"name": "images", "path": "~/r", "image_size": 32}}
    )
    found = small(**changes)
    assert (found.results if key == "results" else found.settings.data.path) == str(tmp_path / "r")
