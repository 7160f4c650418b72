"""Stores that older versions of the code wrote: every epoch in them is known, and they go on to the bit.

`write_stores` has made them. Their machine is fixed in their keys, and their trainer computes alike everywhere.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.golden import facts_fixed as facts

FOLDER = Path(__file__).parent
STORES: dict[str, Any] = json.loads((FOLDER / "stores" / "stores.json").read_text())


def file(name: str) -> Path:
    """The sweep file of a store."""
    return FOLDER / "sweeps" / f"{name}.yaml"


def run(name: str, results: Path, *overrides: str) -> int:
    """Run a sweep to its end; how many epochs were trained."""
    outcome = facts.run(file(name), results, *overrides)
    assert outcome.failed == {}
    return outcome.trained


def assert_same(name: str, results: Path, others: Path, **changes: Any) -> None:
    """Both stores hold the sweep, whole and equal to the bit."""
    with facts.fixed():
        made = facts.planned(facts.loaded(file(name), **changes), results)
    assert made.unfinished == ()
    assert facts.history(results, name) == facts.history(others, name)
    assert facts.last_states(made, results) == facts.last_states(made, others)
    models = facts.best_models(results, name)
    assert models.keys() == {trial.id for trial in made.trials}
    assert models == facts.best_models(others, name)


@pytest.mark.parametrize("name", STORES)
def test_what_it_holds_is_known(name: str) -> None:
    before = STORES[name]
    machine = facts.Machine(**before["machine"]) if "machine" in before else facts.GOLDEN
    with facts.fixed(machine):
        made = facts.planned(facts.loaded(file(name)), FOLDER / "stores" / name)
    assert made.damaged == ()
    assert facts.counts(made) == before["epochs"]
    assert facts.held(FOLDER / "stores" / name, name) == before["held"]


def test_the_stores_hold_all_that_a_store_can_hold() -> None:
    finished, half_way = STORES["finished"], STORES["half-way"]
    assert finished["epochs"]["new"] == 0 < half_way["epochs"]["known"] < half_way["epochs"]["total"]
    for kind in ("superseded", "merged", "checkpoints", "models", "range_tests", "failures", "notes"):
        assert finished["held"][kind] or half_way["held"][kind], kind


@pytest.mark.usefixtures("ray_session")
def test_the_half_way_one_ends_where_one_from_nothing_does(tmp_path: Path) -> None:
    results, others = tmp_path / "results", tmp_path / "others"
    shutil.copytree(FOLDER / "stores" / "half-way", results)
    assert run("half-way", results) == STORES["half-way"]["epochs"]["new"]
    run("half-way", others)
    assert_same("half-way", results, others)
    assert facts.held(results, "half-way")["failures"] == {}


@pytest.mark.usefixtures("ray_session")
def test_the_finished_one_is_extended_and_nothing_is_computed_again(tmp_path: Path) -> None:
    results, others = tmp_path / "results", tmp_path / "others"
    shutil.copytree(FOLDER / "stores" / "finished", results)
    longer = facts.loaded(file("finished")).settings.epochs + 2
    with facts.fixed():
        before = facts.counts(facts.planned(facts.loaded(file("finished"), epochs=longer), results))
    assert before["again"] == 0
    assert before["trials"] == STORES["finished"]["epochs"]["trials"]
    run("finished", results, f"epochs={longer}")
    run("finished", others, f"epochs={longer}")
    assert_same("finished", results, others, epochs=longer)
