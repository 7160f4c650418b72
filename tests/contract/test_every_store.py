"""What a store promises, in a local folder and in an object store: what is written is read back, or refused."""

import io
import math
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from orchestrator.planning import checkpoint_retention, plan
from orchestrator.storage import history
from orchestrator.storage.filesystem import DamagedError, Files, HeldError, LocalFiles
from orchestrator.storage.lock import LockTimes
from orchestrator.storage.opening import files_at, locks_for
from orchestrator.storage.store import Store
from tests.support import engine
from tests.support.counting import age
from tests.support.rows import row
from tests.support.runs import numbers, run
from tests.support.sweeps import small


@pytest.fixture
def store(place: str) -> Store:
    """An empty store."""
    return Store.at(place)


@pytest.fixture
def files(place: str) -> Files:
    """An empty place for files."""
    return files_at(place)


IMPATIENT = LockTimes(look=0.1, tidying=0.1)


def test_files_come_back_whole_and_are_listed_by_folder(files: Files) -> None:
    assert (files.names("a"), files.folders(), files.size("a/x"), files.modified("a/x")) == ([], [], 0, 0)
    with pytest.raises(FileNotFoundError):
        files.read("a/x")
    for name, content in {"a/x.json": b"old", "a/y.bin": b"", "a/b/z.json": b"deep", "top": b"1"}.items():
        files.write(name, content)
    files.write("a/x.json", b"new one")
    assert (files.read("a/x.json"), files.read("a/y.bin")) == (b"new one", b"")
    assert set(files.names("a", ".json")) == {"x.json"}
    assert files.names("") == ["top"]
    assert files.folders() == ["a"]
    assert files.size("a/x.json") == 7
    assert abs(time.time_ns() - files.modified("a/x.json")) < 60e9
    assert files.temporaries() == []
    files.probe()
    assert files.names("") == ["top"]


def test_a_version_is_another_after_every_write(files: Files) -> None:
    assert (files.version("a/x"), files.versions("a")) == ("", {})
    files.write("a/x", b"one")
    files.write("a/y", b"one")
    assert files.versions("a").keys() == {"x", "y"}
    if isinstance(files, LocalFiles):
        assert files.version("a/x") == ""  # so young that another write may show the same time
        age(files.root)
    first = files.versions("a")
    assert first == {name: files.version(f"a/{name}") for name in ("x", "y")}
    assert all(first.values())
    files.write("a/x", b"two")
    if isinstance(files, LocalFiles):
        age(files.root)
    assert files.version("a/x") not in ("", first["x"])


def test_a_history_that_has_not_changed_is_the_same_table_and_a_changed_one_is_read(place: str) -> None:
    reader, writer = Store.at(place), Store.at(place)
    for trial_id in ("a", "b"):
        writer.write_history("s", trial_id, [row(trial_id, 0)])
    if isinstance(writer.files, LocalFiles):
        age(writer.files.root)
    first, _ = reader.history("s")
    writer.write_history("s", "a", [row("a", 0), row("a", 1)])
    second, _ = reader.history("s")
    assert (len(first["a"]), len(second["a"])) == (1, 2)
    assert second["b"] is first["b"]
    writer.files.delete("s/history/b.parquet")
    assert reader.history("s")[0].keys() == {"a"}


def test_files_move_and_go(files: Files) -> None:
    files.write("a/x", b"1")
    files.move("a/x", "c/d/y")
    assert (files.names("a"), files.read("c/d/y")) == ([], b"1")
    with pytest.raises(FileNotFoundError):
        files.move("a/x", "a/z")
    files.delete("c/d/y")
    files.delete("c/d/y")
    assert files.names("c/d") == []


def test_what_is_large_comes_back_whole(files: Files) -> None:
    content = np.random.default_rng(0).bytes(12_000_000)
    files.write("large", content)
    assert files.read("large") == content


def test_an_address_opens_the_same_files(files: Files) -> None:
    files.write("x", b"1")
    assert files_at(files.address).read("x") == b"1"
    assert "?" not in str(files)


def test_a_history_comes_back_as_written_and_opens_as_plain_parquet(store: Store) -> None:
    rows = [row("a", 0, test_loss=0.75, test_accuracy=0.5), row("a", 1, loss=float("nan"))]
    store.write_history("s", "a", rows)
    back = store.read_trial("s", "a")
    assert math.isnan(back[1]["loss"])
    assert [{**r, "loss": 0} for r in back] == [{**r, "loss": 0} for r in rows]
    assert pq.read_table(io.BytesIO(store.files.read("s/history/a.parquet"))).num_rows == 2


def test_a_trial_without_history_has_none(store: Store) -> None:
    assert store.read_trial("s", "a") == []
    assert store.history("s") == ({}, [])


def test_checkpoints_come_back_as_written(store: Store) -> None:
    state = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(7)}
    written = store.checkpoints.write("ab" * 32, state)
    back = store.checkpoints.read("ab" * 32)
    assert {k: (v.dtype, v.tolist()) for k, v in back.items()} == {
        k: (v.dtype, v.tolist()) for k, v in state.items()
    }
    assert store.checkpoints.complete() == {"ab" * 32}
    assert store.checkpoints.delete("ab" * 32) == written
    assert store.checkpoints.complete() == set()
    with pytest.raises(FileNotFoundError):
        store.checkpoints.read("ab" * 32)


def test_a_checkpoint_without_its_manifest_is_absent_and_cleared_away(store: Store) -> None:
    store.checkpoints.write("ab" * 32, {"w": np.zeros(3)})
    store.files.delete(f"checkpoints/{'ab' * 32}.json")
    assert store.checkpoints.complete() == set()
    store.delete_leftovers()
    assert store.files.names("checkpoints") == []


def test_many_finished_histories_become_one_file_and_read_the_same(place: str) -> None:
    store = Store.at(place, compact_above=20)
    count = 20 + 3
    for number in range(count):
        store.write_history("s", f"t{number}", [row(f"t{number}", 0), row(f"t{number}", 1)])
    before, _ = store.history("s")
    store.compact("s", {f"t{n}" for n in range(count - 1)})
    assert store.files.names("s/history") == ["_finished.parquet", f"t{count - 1}.parquet"]
    after, _ = store.history("s")
    assert {t: rows.to_pylist() for t, rows in after.items()} == {t: r.to_pylist() for t, r in before.items()}

    store.write_history("s", "t0", [row("t0", 0), row("t0", 1), row("t0", 2)])
    assert len(store.history("s")[0]["t0"]) == 3
    store.compact("s", {f"t{n}" for n in range(count)})
    assert store.files.names("s/history") == ["_finished.parquet"]
    assert len(store.history("s")[0]["t0"]) == 3


def test_superseded_epochs_stay_known_but_leave_the_sweep(store: Store) -> None:
    store.write_history("s", "a", [row("a", 0, "k0"), row("a", 1, "k1")])
    store.supersede("s", "a", store.history("s")[0]["a"])
    assert store.history("s") == ({}, [])
    known = history.EpochIndex(store.read_all()[0].everything())
    assert known.row("k1")["epoch"] == 1


def test_a_trained_row_is_preferred_over_a_taken_one(store: Store) -> None:
    store.write_history("s", "a", [row("a", 0, "k", reused=True)])
    store.write_history("s", "b", [row("b", 0, "k")])
    known = history.EpochIndex(store.read_all()[0].everything())
    assert len(known) == 1
    assert known.row("k")["trial_id"] == "b"


def test_one_process_at_a_time_holds_a_sweep(store: Store) -> None:
    with store.lock("s"):
        assert store.held("s")
        with pytest.raises(HeldError, match=r"run by process \d+ on"), Store(store.files).lock("s"):
            pass
    assert not store.held("s")
    with store.lock("s"):
        pass


def test_another_format_is_refused(store: Store) -> None:
    store.create()
    Store(store.files)
    store.files.write("format.json", b'{"format": 99}')
    with pytest.raises(DamagedError, match="written in format 99"):
        Store(store.files)


def test_failures_and_notes_are_kept_until_cleared(store: Store) -> None:
    store.write_failure("s", "a", "no luck")
    store.write_note("s", "b", "look here")
    assert (store.failures("s"), store.notes("s")) == ({"a": "no luck"}, {"b": "look here"})
    store.clear_failure("s", "a")
    store.clear_failure("s", "a")
    assert store.failures("s") == {}


def test_a_superseded_trial_does_not_come_back_from_a_merged_file(place: str) -> None:
    store = Store.at(place, compact_above=2)
    for trial_id in ("a", "b"):
        store.write_history("s", trial_id, [row(trial_id, 0)])
    store.compact("s", {"a", "b"})
    assert store.files.names("s/history") == ["_finished.parquet"]
    store.supersede("s", "a", store.history("s")[0]["a"])
    assert store.history("s")[0].keys() == {"b"}
    store.compact("s", {"b"})
    assert store.files.names("s/history") == ["_finished.parquet"]
    assert store.history("s")[0].keys() == {"b"}
    assert "a:0" in history.EpochIndex(store.read_all()[0].everything())


def test_merging_keeps_the_rows_of_trials_that_are_not_finished(place: str) -> None:
    store = Store.at(place, compact_above=2)
    for trial_id in ("a", "b"):
        store.write_history("s", trial_id, [row(trial_id, 0)])
    store.compact("s", {"a", "b"})
    store.write_history("s", "c", [row("c", 0)])
    store.compact("s", {"c"})
    assert store.history("s")[0].keys() == {"a", "b", "c"}


def test_a_model_that_was_changed_is_noticed_and_one_that_was_deleted_is_absent(store: Store) -> None:
    store.write_model("s", "a", b"weights", row("a", 0, "k"))
    assert store.read_models("s") == ({"a": "k"}, [])
    time.sleep(0 if isinstance(store.files, LocalFiles) else 1.1)  # an object's time is exact to a second
    store.files.write("s/models/a.keras", b"weighty")
    models, damaged = store.read_models("s")
    assert (models, [d.name for d in damaged]) == ({}, ["s/models/a.keras"])
    assert not store.has_model("s", "a", "k")
    store.files.delete("s/models/a.keras")
    assert store.read_models("s") == ({}, [])


def test_a_sweep_has_one_run_and_a_store_has_many(files: Files) -> None:
    first, second = locks_for(files, IMPATIENT), locks_for(files, IMPATIENT)
    with first.lock("a"), second.lock("b"):
        assert (second.held("a"), first.held("b")) == (True, True)
        with pytest.raises(HeldError, match=r"sweep 'a' in .* is being run by process \d+ on "), second.lock("a"):
            pass
        first.check()
    assert not first.held("a")
    assert not first.held("never")


def test_alone_is_who_runs_the_only_sweep_and_nobody_begins_meanwhile(files: Files) -> None:
    first, second = locks_for(files, IMPATIENT), locks_for(files, IMPATIENT)
    with first.lock("a"):
        with second.lock("b"), first.alone() as alone:
            assert not alone
        with first.alone() as alone:
            assert alone
            with pytest.raises(HeldError, match="another process tidies it up"), second.lock("b"):
                pass
        with second.lock("b"):
            pass


def test_a_run_knows_the_others_and_takes_its_turn(files: Files) -> None:
    first, second = locks_for(files, IMPATIENT), locks_for(files, IMPATIENT)
    with first.lock("a"):
        assert first.others() == set()
        with second.lock("b"):
            assert (first.others(), second.others()) == ({"b"}, {"a"})
            with first.turn(), first.turn():
                with pytest.raises(HeldError, match="another run is busy in it"), second.turn():
                    pass
                with pytest.raises(HeldError, match="another run is busy in it"), second.alone():
                    pass
            with second.turn():
                pass
        assert first.others() == set()
        with first.alone() as alone:
            assert alone


def test_flipped_bits_are_found_and_the_file_is_set_aside(store: Store) -> None:
    engine.run(small(epochs=1, seeds=[0]), store)
    name = "small/history/sgd-constant-s0.parquet"
    content = bytearray(store.files.read(name))
    content[len(content) // 2] ^= 1
    store.files.write(name, bytes(content))
    after = plan.make(small(epochs=1, seeds=[0]), store)
    assert [damage.name for damage in after.damaged] == [name]
    assert engine.run(small(epochs=1, seeds=[0]), store).trained == 1
    assert store.files.names("small/damaged") == ["history-sgd-constant-s0.parquet"]
    engine.assert_whole(small(epochs=1, seeds=[0]), store)


def test_cleaning_frees_what_nobody_holds(store: Store) -> None:
    every = small(epochs=2, seeds=[0], schedules={"constant": {}}, checkpoints="all")
    engine.run(every, store)
    assert len(store.checkpoints.complete()) == 4
    needed = small(epochs=2, seeds=[0], schedules={"constant": {}})
    with store.lock("small"):
        freed = checkpoint_retention.clean(plan.make(needed, store), store)
    assert freed.checkpoints == 4 - len(store.checkpoints.complete()) > 0
    assert freed.bytes > 0
    engine.assert_whole(needed, store)


@pytest.mark.usefixtures("ray_session")
def test_a_sweep_under_ray_stops_goes_on_and_ends_as_everywhere(store: Store, tmp_path: Path) -> None:
    schedules = {"constant": {}, "step": {"every": 2}}
    first, _ = run(small(epochs=2, schedules=schedules), store)
    outcome, after = run(small(schedules=schedules), store)
    assert (first.trained, outcome.trained, outcome.recomputed, outcome.failed) == (4 * 2, 8 * 2, 0, {})
    assert after.unfinished == ()
    engine.assert_whole(small(schedules=schedules), store)
    calm = Store.at(str(tmp_path / "calm"))
    engine.run(small(schedules=schedules), calm)
    assert numbers(store) == numbers(calm)
