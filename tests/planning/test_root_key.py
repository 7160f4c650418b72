"""The facts that keys are made of: their names, and what is in them beside the settings."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments import environment, numerics
from experiments.datasets import check as data
from experiments.environment import library_versions
from experiments.settings import InputError
from orchestrator.planning import lr_range_tests, plan
from orchestrator.planning.root_key import RootFacts
from orchestrator.spec import trials
from orchestrator.spec.sweep import DEFAULT_TRAINER
from orchestrator.storage.store import Store
from tests.support.sweeps import small
from tests.support.tiny import photos

COMMON = {
    "format", "data", "model", "optimizer", "batch_size", "deterministic", "precision", "backend", "device",
    "hardware", "threads", "versions", "trainer", "environment",
}  # fmt: skip
SHARED = {
    "class", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema", "ema_momentum",
    "ema_overwrite_frequency", "loss_scale_factor", "gradient_accumulation_steps",
}  # fmt: skip


def facts(cycles_momentum: bool = False, **changes: Any) -> dict[str, Any]:
    """The facts of the first recipe of a small sweep with the built-in trainer."""
    sweep = small(**{"trainer": DEFAULT_TRAINER, "deterministic": True, **changes})
    return RootFacts(sweep.trainer).facts(trials.recipes(sweep)[0], cycles_momentum)


def root(store: Store, **changes: Any) -> str:
    """The root key of the first trial of a small sweep."""
    planned = plan.make(small(**changes), store)
    return planned.cursors[planned.trials[0].id].chain.root


def test_the_names_of_the_facts_are_part_of_every_key() -> None:
    """Whoever changes one of them makes every epoch that is known unknown."""
    of = facts(model={"head": "classic"})
    assert set(of) == COMMON | {"part_size"}
    assert of["format"] == 2
    assert set(of["data"]) == {
        "source", "images", "image_size", "validation_images", "split_seed", "horizontal_flip", "shift",
    }  # fmt: skip
    assert set(of["model"]) == {"name", "channels", "head", "initializer", "dense", "dropout"}
    assert set(of["optimizer"]) == SHARED | {"momentum", "nesterov"}
    assert set(of["versions"]) == {"keras", "numpy", "pillow", "tensorflow"}
    assert (of["trainer"], of["backend"], of["device"], of["threads"]) == ("built-in", "tensorflow", "cpu", 1)
    assert (of["batch_size"], of["part_size"], of["hardware"]) == (64, 64, numerics.processor())
    assert set(facts(cycles_momentum=True)["optimizer"]) == SHARED | {"nesterov"}
    assert set(facts(model={"head": "average"})["model"]) == {"name", "channels", "head", "initializer"}


def test_the_names_of_the_facts_of_another_trainer() -> None:
    of = facts(trainer="tests.support.fakes:VectorTrainer")
    assert set(of) == COMMON
    assert set(of["data"]) == {
        "name", "images", "image_size", "validation", "limit", "split_seed", "augmentation",
    }  # fmt: skip
    assert set(of["model"]) == {"name", "width", "head", "initializer", "dropout"}
    assert of["trainer"].startswith("VectorTrainer ")
    json.dumps(of, allow_nan=False)


@pytest.mark.parametrize("trainer", [DEFAULT_TRAINER, "tests.support.fakes:VectorTrainer"])
def test_there_is_a_fact_of_a_test_set_only_where_there_is_one(trainer: str) -> None:
    without, none, with_test = (
        facts(trainer=trainer, data={"name": "digits", **test})["data"]
        for test in ({}, {"test": 0}, {"test": 0.15})
    )
    assert without == none
    added = {"test_images": 270} if trainer == DEFAULT_TRAINER else {"test": 0.15}
    assert with_test == without | added


def test_what_settings_mean_to_another_trainer_nobody_knows(store: Store) -> None:
    ways: list[dict[str, Any]] = [{"deterministic": True}, {"deterministic": False}, {"batch_size": "full"}]
    ways += [{"batch_size": 1348}, {"model": {"width": 0.06250001}}]
    mine = [root(store, trainer="tests.support.fakes:VectorTrainer", **way) for way in ways]
    assert len(set(mine)) == len(ways)


def test_full_and_its_number_share_a_key_exactly_where_they_are_computed_alike(store: Store) -> None:
    def both(image_size: int) -> tuple[str, str]:
        where = {"name": "images", "path": str(photos(each=16)), "image_size": image_size}
        full, number = (root(store, trainer=DEFAULT_TRAINER, data=where, batch_size=b) for b in ("full", 24))
        return full, number

    # Of 256 pixels no more than 16 are computed at a time where nobody asked for a number.
    (full, number), (small_full, small_number) = both(256), both(32)
    assert full != number
    assert small_full == small_number
    where = {"name": "images", "path": str(photos(each=16)), "image_size": 256}
    assert (facts(data=where, batch_size="full")["part_size"], facts(data=where, batch_size=24)["part_size"]) == (
        12,
        24,
    )


def test_data_elsewhere_is_the_same_data(store: Store, tmp_path: Path) -> None:
    (tmp_path / "copy").symlink_to(photos())
    places = [{"name": "images", "path": str(path), "image_size": 32} for path in (photos(), tmp_path / "copy")]
    assert data("data", places[0]) != data("data", places[1])
    assert root(store, trainer=DEFAULT_TRAINER, data=places[0]) == root(
        store, trainer=DEFAULT_TRAINER, data=places[1]
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TF_ENABLE_ONEDNN_OPTS", "0"),
        ("ONEDNN_MAX_CPU_ISA", "SSE41"),
        ("ONEDNN_DEFAULT_FPMATH_MODE", "BF16"),
        ("TF_XLA_FLAGS", "--tf_xla_auto_jit=2"),
        ("XLA_FLAGS", "--xla_cpu_enable_fast_math=true"),
    ],
)
@pytest.mark.parametrize("trainer", [DEFAULT_TRAINER, "tests.support.fakes:VectorTrainer"])
def test_a_variable_that_decides_numbers_is_in_the_key(
    name: str, value: str, trainer: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = root(store, trainer=trainer)
    monkeypatch.setenv(name, value)
    assert root(store, trainer=trainer) != before
    monkeypatch.setenv(name, "")
    assert root(store, trainer=trainer) == before


def test_the_processor_is_in_the_key(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = root(store)
    (tmp_path / "cpuinfo").write_text("flags : sse4_1 avx\n")
    monkeypatch.setattr(numerics, "CPUINFO", tmp_path / "cpuinfo")
    numerics.processor.cache_clear()
    try:
        assert root(store) != before
        assert root(store, resources={"hardware": "any"}) != before
    finally:
        monkeypatch.undo()
        numerics.processor.cache_clear()
    assert root(store) == before


def test_the_source_of_a_trainer_is_in_the_key(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "own_trainer_of_a_test.py"
    file.write_text("class Mine: ...\nclass Other: ...\n")
    before = root(store, trainer="own_trainer_of_a_test:Mine")
    assert root(store, trainer="own_trainer_of_a_test:Other") != before
    file.write_text("class Mine: ...\nclass Other: ...\n# another rounding\n")
    assert root(store, trainer="own_trainer_of_a_test:Mine") != before
    file.unlink()
    with pytest.raises(InputError, match="trainer: cannot import module 'own_trainer_of_a_test'"):
        root(store, trainer="own_trainer_of_a_test:Mine")


def test_a_gpu_that_is_not_here_can_be_named(store: Store) -> None:
    ours, named, other = (
        root(store, resources={"gpus_per_trial": 1, **more})
        for more in ({}, {"hardware": "NVIDIA A10G, driver 1"}, {"hardware": "NVIDIA A10G, driver 2"})
    )
    assert len({ours, named, other, root(store)}) == 4
    halves = [{"gpus_per_trial": count, "hardware": "NVIDIA A10G, driver 1"} for count in (0.5, 1)]
    assert root(store, resources=halves[0]) == root(store, resources=halves[1]) == named


def test_operations_are_deterministic_on_a_processor_and_where_asked_on_a_gpu() -> None:
    assert facts(deterministic=False) == facts(deterministic=True)
    on_gpu = {"gpus_per_trial": 1}
    assert facts(deterministic=False, resources=on_gpu) != facts(deterministic=True, resources=on_gpu)


def test_a_range_test_keeps_the_momentum_that_a_schedule_would_replace(store: Store) -> None:
    def tests(momentum: float) -> set[str]:
        sweep = small(
            trainer=DEFAULT_TRAINER,
            optimizers={"sgd": {"class": "SGD", "momentum": momentum, "learning_rate": "auto"}},
            schedules={"one-cycle": {"momentum": {}}, "constant": {}},
        )
        tests, _ = lr_range_tests.needed(sweep, RootFacts(sweep.trainer), store)
        return {test.key for test in tests.values()}

    def cycled(momentum: float) -> str:
        sgd = {"class": "SGD", "momentum": momentum}
        return root(
            store, trainer=DEFAULT_TRAINER, optimizers={"s": sgd}, schedules={"one-cycle": {"momentum": {}}}
        )

    assert len(tests(0.5)) == len(tests(0.9)) == 1
    assert tests(0.5) != tests(0.9)
    assert cycled(0.5) == cycled(0.9)


def test_a_backend_without_its_library_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(environment._BACKEND_LIBRARIES, "jax", ("there-is-no-such-library",))
    library_versions.cache_clear()
    with pytest.raises(InputError, match="KERAS_BACKEND: jax needs there-is-no-such-library"):
        library_versions("jax")
