"""Every sweep file is run or refused: with one line that says why, always the same, and in a plan as in a run."""

import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from experiments.settings import InputError
from orchestrator.cli import main
from orchestrator.execution import session
from orchestrator.planning.root_key import silently
from orchestrator.spec import sweep, trials
from orchestrator.storage.store import Store
from tests.generated import sweep_files
from tests.generated.sweep_files import Document, as_text, broken, places, right, scrambled
from tests.support import engine

HEAVY = int(os.environ.get("GENERATED_CASES", "3000"))
CHANCE = st.integers(0, 2**32).map(random.Random)
ANY = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


@pytest.fixture(scope="module", autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A folder that may be littered: a path may come out of a wrong setting."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("here"))
    yield
    os.chdir(before)


def command(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `sweep` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["sweep", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as left:
            main.main()
    finally:
        sys.argv = before
    return int(left.value.code or 0), out.getvalue(), err.getvalue()


@contextlib.contextmanager
def file(text: str) -> Iterator[tuple[Path, Path]]:
    """A sweep file with this text, and a folder for results."""
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / "sweep.yaml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        yield path, folder / "r"
    finally:
        shutil.rmtree(folder)


def require_one_line(code: int, out: str, err: str) -> None:
    """Of a file that was refused."""
    assert code == 2, err
    assert out == ""
    assert err.startswith("error: "), err
    assert err.endswith("\n")
    assert len(err.splitlines()) == 1, err
    assert len(err) < 3000
    assert "Traceback" not in err


def planned(text: str, overrides: Sequence[str] = ()) -> Any:
    """What a plan of it says, None where it is refused; the same each time, for programs and for people."""
    with file(text) as (path, results):
        given = [part for override in overrides for part in ("-S", override)]
        first = command("plan", path, "--results", results, "--json", *given)
        assert command("plan", path, "--results", results, "--json", *given) == first
        shown = command("plan", path, "--results", results, "--curves", *given)
        assert not results.exists()
        if first[0] != 0:
            require_one_line(*first)
            assert shown == first
            return None
        assert (first[2], shown[0], shown[2]) == ("", 0, "")
        return json.loads(first[1])


def run(text: str, plan: Any) -> None:
    """Run what was accepted, without Ray, and look at it: nothing is left to do, and every command works."""
    if plan["range_tests"] or plan["epochs"]["total"] > 24:
        return
    with file(text) as (path, results):
        checked = sweep.load(path)
        if checked.trainer == sweep.DEFAULT_TRAINER:  # what names the fake one may be what was broken
            return
        recipes = trials.recipes(checked)
        session.prepare(recipes, silently)
        outcome = engine.run(checked, Store.at(str(results)))
        assert outcome.failed == {}
        code, out, err = command("plan", path, "--results", results, "--json")
        assert (code, json.loads(out)["epochs"]["new"], err) == (0, 0, "")
        for verb in ("status", "report"):
            code, out, err = command(verb, path, "--results", results, "--json")
            assert (code, err) == (0, "")
            assert json.loads(out)["sweep"] == plan["sweep"]


def refused_or_run(document: Document, chance: random.Random, seen: Counter[str]) -> None:
    """A right file, the same with one thing wrong, and its text with a few characters wrong."""
    text = as_text(document)
    variants = {"right": text, "broken": as_text(broken(document, chance)), "scrambled": scrambled(text, chance)}
    for kind, variant in variants.items():
        plan = planned(variant)
        seen[f"{kind} {'accepted' if plan else 'refused'}"] += 1
        if plan and kind != "scrambled":
            run(variant, plan)


SEEN: Counter[str] = Counter()


@given(right(), CHANCE)
@settings(max_examples=12, derandomize=True, **ANY)
def test_every_sweep_file_is_run_or_refused(document: Document, chance: random.Random) -> None:
    refused_or_run(document, chance, SEEN)


@pytest.mark.heavy
@given(right(), CHANCE)
@settings(max_examples=HEAVY, print_blob=True, **ANY)
def test_very_many_sweep_files_are_run_or_refused(document: Document, chance: random.Random) -> None:
    refused_or_run(document, chance, SEEN)


def test_both_kinds_were_met() -> None:
    """A generator whose files are all refused would prove nothing."""
    assert SEEN["right accepted"] > SEEN["right refused"] / 2
    assert SEEN["broken accepted"] > 0
    assert SEEN["broken refused"] > SEEN["broken accepted"] / 2


def checked(document: Document, overrides: Document | None = None) -> tuple[sweep.Sweep, list[trials.Recipe]]:
    """The recipes of a document. Passes over what is refused."""
    try:
        found = sweep.from_document({"name": "x", **document}, overrides or {})
        return found, trials.recipes(found)
    except InputError:
        assume(False)
        raise


def require_no_misspelling(document: Document, chance: random.Random) -> None:
    """A key with a letter too many is refused wherever it stands, but for labels, which are anybody's."""
    checked(document)
    ways = [way for way in places(document) if isinstance(way[-1], str)]
    *parents, last = chance.choice([w for w in ways if len(w) != 2 or w[0] not in ("optimizers", "schedules")])
    wrong = json.loads(json.dumps(document))
    inner = wrong
    for key in parents:
        inner = inner[key]
    inner[f"{last}x"] = inner.pop(last)
    with pytest.raises(InputError) as caught:
        trials.recipes(sweep.from_document({"name": "x", **wrong}))
    said = str(caught.value)
    assert last in said or "missing" in said or (last == "name" and "unknown schedule" in said)


@given(right(), CHANCE)
@settings(max_examples=100, derandomize=True, **ANY)
def test_no_misspelt_setting_is_passed_over(document: Document, chance: random.Random) -> None:
    require_no_misspelling(document, chance)


@pytest.mark.heavy
@given(right(), CHANCE)
@settings(max_examples=HEAVY, print_blob=True, **ANY)
def test_no_misspelt_setting_is_passed_over_in_very_many(document: Document, chance: random.Random) -> None:
    require_no_misspelling(document, chance)


def require_effect(document: Document, key: str, value: Any) -> None:
    """An override that is accepted holds in every recipe; and so does each value of each axis in some recipe."""
    found, recipes = checked(document, {key: value})
    for recipe in recipes:
        here: Any = recipe.settings
        for part in key.split("."):
            here = getattr(here, part)
        if isinstance(value, dict):
            assert {name: getattr(here, name) for name in value} == value
        else:
            assert here == value
    for axis, values in found.axes.items():
        shown = {recipe.axes[axis] for recipe in recipes if axis in recipe.axes}
        assert shown == {str(each) for each in values}
        trained = {(recipe.axes[axis], recipe.training) for recipe in recipes if axis in recipe.axes}
        assert len({training for _, training in trained}) >= len(values)


OVERRIDES = st.one_of(
    st.tuples(st.just("epochs"), st.sampled_from([5, 6])),
    st.tuples(st.just("batch_size"), st.sampled_from([32, "full"])),
    st.tuples(st.just("monitor"), sweep_files.METRIC),
    st.tuples(st.just("model.width"), st.sampled_from([0.125, 2.0])),
    st.tuples(st.just("model"), st.sampled_from([{"width": 0.5}, {"name": "vgg11"}])),
    st.tuples(st.just("early_stopping.patience"), st.sampled_from([7])),
    st.tuples(st.just("early_stopping"), st.sampled_from([None, {"patience": 7}])),
    st.tuples(st.just("reduce_on_plateau.cooldown"), st.sampled_from([3])),
    st.tuples(st.just("data.limit"), st.sampled_from([30, 50])),
    st.tuples(st.just("data.augmentation.shift"), st.sampled_from([1])),
    st.tuples(st.just("resources.cpus_per_trial"), st.sampled_from([1, 3])),
)


@given(right(), OVERRIDES)
@settings(max_examples=200, derandomize=True, **ANY)
def test_every_override_and_every_axis_has_its_effect(document: Document, override: tuple[str, Any]) -> None:
    require_effect(document, *override)


@pytest.mark.heavy
@given(right(), OVERRIDES)
@settings(max_examples=HEAVY, print_blob=True, **ANY)
def test_every_override_and_every_axis_has_its_effect_in_very_many(
    document: Document, override: tuple[str, Any]
) -> None:
    require_effect(document, *override)
