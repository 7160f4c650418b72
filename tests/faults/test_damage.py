"""Every kind of file in the store, cut off and with flipped bits: never a wrong number, always named, mended."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.planning import plan
from orchestrator.spec.sweep import Sweep
from orchestrator.storage import checksums
from orchestrator.storage.filesystem import DamagedError
from orchestrator.storage.store import Store
from orchestrator.storage.verified_files import CorruptFile
from tests.support import engine
from tests.support.command import command
from tests.support.sweeps import small, written

SWEEP: dict[str, Any] = {
    "optimizers": {"sgd": {"class": "SGD"}},
    "schedules": {"constant": {}, "step": {"every": 1}},
    "seeds": [0],
    "epochs": 2,
}
TRIAL = "sgd-constant-s0"
CUTS = (0.0, 0.1, 0.5, 0.999)
FLIPS = 40


def here(**changes: Any) -> Sweep:
    return small(**{**SWEEP, **changes})


@pytest.fixture
def store(memory: Path) -> Store:
    """A store with a file of every kind in it."""
    store = Store.at(str(memory / "results"))
    engine.run(here(batch_size=32), store)
    engine.run(here(), store)
    engine.run(here(name="other", optimizers={"adam": {"class": "Adam"}}), Store.at(str(store), compact_above=1))
    assert store.files.names("other/history") == ["_finished.parquet"]
    store.write_failure("small", TRIAL, "no luck, val_loss 0.5")
    store.write_note("small", TRIAL, "val_loss 0.25, recorded 0.75")
    return store


def best(store: Store) -> str:
    return store.models("small")[TRIAL]


NAMES: dict[str, Callable[[Store], str]] = {
    "history": lambda s: f"small/history/{TRIAL}.parquet",
    "merged": lambda s: "other/history/_finished.parquet",
    "superseded": lambda s: f"small/superseded/{s.files.names('small/superseded')[0]}",
    "weights": lambda s: f"checkpoints/{best(s)}.safetensors",
    "manifest": lambda s: f"checkpoints/{best(s)}.json",
    "format": lambda s: "format.json",
    "model": lambda s: f"small/models/{TRIAL}.keras",
    "model record": lambda s: f"small/models/{TRIAL}.json",
    "failure": lambda s: f"small/failures/{TRIAL}.json",
    "note": lambda s: f"small/notes/{TRIAL}.json",
    "sweep": lambda s: "small/sweep.json",
    "run": lambda s: "small/run.json",
    "lock": lambda s: "small/lock",
}
UNREAD = {"sweep", "lock"}
"""Nothing is reported from these: they are for people, and every run writes them anew."""


@dataclass(frozen=True)
class Inspection:
    """Everything that can be read from a store, and the damages that were noticed."""

    facts: frozenset[str]
    damaged: tuple[CorruptFile, ...]


def read(results: str) -> Inspection:
    """Read all of it."""
    facts: set[str] = set()
    damaged: list[CorruptFile] = []
    try:
        store = Store.at(results)
    except DamagedError as error:
        return Inspection(frozenset(), (CorruptFile("format.json", str(error)),))
    histories, bad = store.read_all()
    damaged += bad
    facts |= {repr(r) for rows in histories.everything() for r in rows.to_pylist()}
    for name in ("small", "other"):
        models, bad = store.read_models(name)
        damaged += bad
        facts |= {f"{name} model {item}" for item in models.items()}
        for folder in ("failures", "notes"):
            reasons, bad = store.read_reasons(name, folder)
            damaged += bad
            facts |= {f"{name} {folder} {item}" for item in reasons.items()}
        facts |= {f"{name} run {item}" for item in store.read_run(name).items()}
    for key in store.checkpoints.complete():
        try:
            state = store.checkpoints.read(key)
        except DamagedError as error:
            damaged.append(CorruptFile(str(error), str(error)))
        else:
            facts |= {f"{key} {name} {array.dtype} {array.tolist()}" for name, array in state.items()}
    return Inspection(frozenset(facts), tuple(damaged))


def damages(content: bytes, seed: str) -> Iterator[tuple[str, bytes]]:
    """The content cut off and with single bits flipped, each with a name for it."""
    for cut in CUTS:
        yield f"cut at {cut:.1%}", content[: min(int(len(content) * cut), len(content) - 1)]
    drawn = random.Random(seed)
    for bit in drawn.sample(range(len(content) * 8), min(FLIPS, len(content) * 8)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit} flipped", bytes(flipped)


@pytest.mark.parametrize("kind", NAMES)
def test_damage_is_noticed_and_named_and_no_wrong_number_is_read(kind: str, store: Store) -> None:
    name, results = NAMES[kind](store), str(store)
    path = Path(results) / name
    content, before = path.read_bytes(), read(results)
    assert before.damaged == ()
    for what, damaged in damages(content, kind):
        path.write_bytes(damaged)
        after = read(results)
        assert after.facts <= before.facts, what
        if kind in UNREAD:
            assert after == before, what
        elif after.facts != before.facts and kind != "run":
            assert any(name in d.reason or str(path) in d.reason for d in after.damaged), what
        elif kind not in ("format", "run"):
            pytest.fail(f"{kind}, {what}: nothing was noticed")
    path.write_bytes(content)


@pytest.mark.parametrize("kind", [k for k in NAMES if k not in ("format", "weights", "manifest")])
def test_the_next_run_sets_the_damaged_file_aside_and_makes_it_again(kind: str, store: Store) -> None:
    name, calm = NAMES[kind](store), engine.numbers(store)
    other = engine.numbers(store, "other")
    path = Path(str(store)) / name
    content = path.read_bytes()
    for what, damaged in list(damages(content, kind))[: len(CUTS) + 2]:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(damaged)
        listener = engine.Silent()
        seen = plan.make(here(), store).damaged
        engine.run(here(), store, listener=listener)
        engine.run(here(name="other", optimizers={"adam": {"class": "Adam"}}), store)
        assert engine.numbers(store) == calm, what
        assert engine.numbers(store, "other") == other, what
        assert set(store.models("small")) == {TRIAL, "sgd-step-s0"}, what
        assert plan.make(here(), store).damaged == (), what
        if kind not in {*UNREAD, "run"}:
            assert [d.name for d in seen] == [name]
            assert name in listener.messages[0]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


FOREIGN = {
    "sealed nothing": checksums.json_bytes({}),
    "sealed numbers": checksums.json_bytes(dict.fromkeys(("run", "running", "attempts", "since", "reason"), 3)),
    "sealed text": checksums.json_bytes(dict.fromkeys(("key", "sha256", "bytes", "epoch_key", "loss"), "a")),
    "sealed list": checksums.seal(f'["seal", "{checksums._BLANK.decode()}"]'.encode()),
    "list": b"[1, 2]",
    "nothing": b"null",
    "text": b'{"name": 3, "checkpoints": ["all"], "running": [], "seal": ""}',
    "depths": b"[" * 100_000,
}


@pytest.mark.parametrize("kind", [k for k in NAMES if k not in ("format", "weights", "lock")])
def test_a_file_of_another_shape_is_no_traceback_and_is_made_again(
    kind: str, store: Store, memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calm, path = engine.numbers(store), Path(str(store)) / NAMES[kind](store)
    file = written(memory, **SWEEP)
    unread = {*UNREAD, "run", "manifest"}
    for what, content in FOREIGN.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        for verb in ("plan", "status", "report"):
            code, _, err = command(verb, file, "--results", store, capture=capsys)
            assert code == (3 if verb == "report" and kind not in unread else 0), (what, err)
        engine.run(here(), store)
        engine.run(here(name="other", optimizers={"adam": {"class": "Adam"}}), store)
        assert engine.numbers(store) == calm, what
        assert plan.make(here(), store).damaged == (), what


def test_a_range_test_of_another_shape_is_run_again(store: Store) -> None:
    for number, content in enumerate(FOREIGN.values()):
        store.files.write(f"range-tests/{number}.json", content)
    curves, damaged = store.read_range_tests()
    assert (curves, len(damaged)) == ({}, len(FOREIGN))


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_format_of_another_shape_is_damage(content: bytes, store: Store) -> None:
    store.files.write("format.json", content)
    with pytest.raises(DamagedError, match=r"format\.json: damaged"):
        Store.at(str(store))


@pytest.mark.parametrize("kind", ["weights", "manifest"])
def test_a_damaged_checkpoint_is_freed_and_computed_again_where_it_is_needed(kind: str, store: Store) -> None:
    longer = here(epochs=3)
    calm = Store.at(f"{store}-calm")
    engine.run(longer, calm)
    last = plan.make(here(), store).cursors[TRIAL].keys[-1]
    suffix = {"weights": "safetensors", "manifest": "json"}[kind]
    path = Path(str(store)) / f"checkpoints/{last}.{suffix}"
    path.write_bytes(path.read_bytes()[:-2])
    listener = engine.Silent()
    outcome = engine.run(longer, store, listener=listener)
    assert engine.numbers(store) == engine.numbers(calm)
    assert (outcome.trained, outcome.recomputed) == (2 + 2, 2)
    assert any(f"{last}.{suffix}: damaged" in said for said in listener.messages)
    assert len(listener.messages) == 1
    assert plan.make(longer, store).unfinished == ()


@pytest.mark.parametrize("kind", [k for k in NAMES if k not in {*UNREAD, "run", "weights", "manifest"}])
def test_a_report_of_a_damaged_store_is_refused_with_exit_code_3_naming_the_file(
    kind: str, store: Store, memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(memory, **SWEEP)
    report = ("report", file, "--results", str(store), "--json")
    assert command(*report, capture=capsys)[0] == 0
    name = NAMES[kind](store)
    path = Path(str(store)) / name
    path.write_bytes(path.read_bytes()[:-3])
    code, out, err = command(*report, capture=capsys)
    assert (code, out) == (3, "")
    assert name in err
    assert "damaged" in err
