"""Workers train under the conditions that the keys stand for, or not at all."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments import numerics
from experiments.settings import InputError
from orchestrator.cluster.conditions import Conditions, conditions, require_conditions, require_device, source_hash
from orchestrator.execution.run import carry_out
from orchestrator.planning import plan
from orchestrator.spec.sweep import DEFAULT_TRAINER
from orchestrator.storage.filesystem import StoreError
from orchestrator.storage.store import Store
from tests.support.silent import Silent
from tests.support.sweeps import small

HERE = {"trainer": "built-in", "backend": "tensorflow", "hardware": "x86_64 avx2"}


def test_what_is_other_is_said_in_words() -> None:
    limit = {"ONEDNN_MAX_CPU_ISA": "AVX"}
    here = Conditions(**HERE, environment={"TF_ENABLE_ONEDNN_OPTS": "false", **limit})
    there = Conditions(trainer="Mine 12ab", backend="jax", hardware="x86_64 avx", environment=limit)
    assert here.differences(here) == []
    assert here.differences(there) == [
        "trainer built-in, not Mine 12ab",
        "KERAS_BACKEND tensorflow, not jax",
        "hardware x86_64 avx2, not x86_64 avx",
        "TF_ENABLE_ONEDNN_OPTS false, not at its default",
    ]


def test_a_gpu_that_nobody_can_tell_is_like_no_other() -> None:
    untold = Conditions(**HERE | {"hardware": "no GPU of one kind (A and B)"}, environment={})
    assert untold.differences(untold)


def test_a_process_like_that_of_the_keys_may_train_and_others_may_not() -> None:
    ours = conditions(DEFAULT_TRAINER, gpu=False)
    require_conditions(ours, DEFAULT_TRAINER, gpu=False)
    require_conditions(replace(ours, hardware=numerics.ANY), DEFAULT_TRAINER, gpu=False)
    with pytest.raises(
        StoreError, match=r"hardware .*, not another; .*set resources\.hardware to '.*' or.* 'any'"
    ):
        require_conditions(replace(ours, hardware="another"), DEFAULT_TRAINER, gpu=False)
    with pytest.raises(StoreError, match="ONEDNN_CPU_ISA_HINTS at its default, not PREFER_YMM; make it alike"):
        require_conditions(
            replace(ours, environment={"ONEDNN_CPU_ISA_HINTS": "PREFER_YMM"}), DEFAULT_TRAINER, gpu=False
        )
    with pytest.raises(StoreError, match="hardware no GPU, not NVIDIA A10G"):
        require_conditions(replace(ours, hardware="NVIDIA A10G"), DEFAULT_TRAINER, gpu=True)


def test_a_device_that_the_key_does_not_name_trains_nothing() -> None:
    require_device(DEFAULT_TRAINER, "cpu", gpu=False)
    require_device(DEFAULT_TRAINER, "NVIDIA A10G", gpu=True)
    require_device("mine:Trainer", "whatever it says", gpu=False)
    with pytest.raises(StoreError, match="to be trained on a GPU, and Keras uses cpu"):
        require_device(DEFAULT_TRAINER, "cpu", gpu=True)
    with pytest.raises(StoreError, match="to be trained on the processor, and Keras uses NVIDIA A10G"):
        require_device(DEFAULT_TRAINER, "NVIDIA A10G", gpu=False)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module on the path that nobody has imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "trainer_of_a_test.py"
    file.write_text("raise RuntimeError('imported')\n")
    return file


def test_the_source_of_a_trainer_is_read_but_not_run(module: Path) -> None:
    before = source_hash("trainer_of_a_test:Mine")
    module.write_text("class Mine: ...\n")
    assert source_hash("trainer_of_a_test:Mine") != before
    assert "trainer_of_a_test" not in sys.modules


@pytest.mark.parametrize("name", ["there_is_no_such_module:T", "tests.nor_this:T", "sys:T", "", ":T"])
def test_a_trainer_without_a_source_is_a_mistake(name: str) -> None:
    with pytest.raises(InputError, match=r"^trainer: .*cannot (be imported|import module)"):
        source_hash(name)


@pytest.mark.parametrize("name", ["", "torch"])
def test_an_unknown_backend_is_a_mistake(name: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", name)
    with pytest.raises(InputError, match="KERAS_BACKEND: unknown backend"):
        plan.make(small(), store)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "ONEDNN_DEFAULT_FPMATH_MODE at its default, not BF16"),
        ({"resources": {"hardware": "a machine from elsewhere"}}, "not a machine from elsewhere"),
    ],
)
def test_a_worker_under_other_conditions_trains_nothing(
    changes: dict[str, Any], words: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The workers of the tests' Ray have the variables of the process that started it, not this one.
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16" if not changes else "")
    made = plan.make(small(**changes), store)
    with store.lock("small"), pytest.raises(StoreError, match=words):
        carry_out(made, store, Silent())
    assert store.history("small")[0] == {}


@pytest.mark.usefixtures("ray_session")
def test_on_hardware_that_does_not_matter_everybody_trains(store: Store) -> None:
    made = plan.make(small(resources={"hardware": "any"}), store)
    with store.lock("small"):
        assert carry_out(made, store, Silent()).trained == 32
    exact = plan.make(small(), store)
    assert exact.epochs.known == 0
