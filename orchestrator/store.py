"""The store: records and checkpoints under one results folder. Every file name, every write, every verified read.

<results>/format.json                            what wrote this folder
<results>/checkpoints/<epoch key>.safetensors    weights and optimizer state after that epoch, shared by all
<results>/checkpoints/<epoch key>.json           its manifest, written last: without it there is no checkpoint
<results>/<sweep>/sweep.json                     the sweep as last run
<results>/<sweep>/history/<trial>.parquet        the trial's epochs; rewritten whole after each
<results>/<sweep>/history/_finished.parquet      many finished trials in one file, so that reading stays fast
<results>/<sweep>/superseded/                    epochs of settings the sweep no longer has: still known
<results>/<sweep>/models/<trial>.keras           the best model of the trial
<results>/<sweep>/failures/<trial>.json          why the trial failed, until it succeeds
<results>/<sweep>/notes/<trial>.json             what else people should know about the trial
<results>/<sweep>/damaged/                       files that were not what was written, set aside
<results>/<sweep>/run.json, lock                 who runs the sweep now, and what is running
"""

import fcntl
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orchestrator import records
from orchestrator.files import DamagedError, Files, HeldError, LocalFiles, StoreError

FORMAT = 1
CHECKPOINTS = "checkpoints"
FINISHED = "_finished"
COMPACT_ABOVE = 256
"""More history files than this and the finished ones are merged: 10,000 small files take 5 s to read."""

T = TypeVar("T")


@dataclass(frozen=True)
class Damage:
    """A file of the store that is not what was written there, and why that is known."""

    name: str
    reason: str


@dataclass(frozen=True)
class Histories:
    """What is recorded: `current` by sweep and trial, `superseded` of settings that no sweep has any more."""

    current: Mapping[str, Mapping[str, pa.Table]]
    superseded: Sequence[pa.Table]

    def everything(self) -> Iterator[pa.Table]:
        """All tables."""
        yield from self.superseded
        for trials in self.current.values():
            yield from trials.values()


class Store:
    """Records and checkpoints under one results folder."""

    def __init__(self, files: Files) -> None:
        """The store in `files`. Raises DamagedError when another version of this program wrote it."""
        self.files = files
        try:
            written = _json_object(files.read("format.json"))["format"]
        except FileNotFoundError:
            return
        except (ValueError, KeyError):
            raise DamagedError(
                f'{files}/format.json: damaged; if this is a results folder, write {{"format": {FORMAT}}} into it'
            ) from None
        if written != FORMAT:
            raise DamagedError(
                f"{files}: written in format {written}, this version reads format {FORMAT}; "
                "use the version that wrote it or give another --results"
            )

    @classmethod
    def at(cls, results: str) -> "Store":
        """The store at a local path. Raises DamagedError when another version of this program wrote it."""
        return cls(LocalFiles(Path(results)))

    def __str__(self) -> str:
        """Where the store is."""
        return str(self.files)

    def create(self) -> None:
        """Mark the folder as a store, so that other versions know what they see. Raises StoreError."""
        if not self.files.size("format.json"):
            self.files.write("format.json", _json_bytes({"format": FORMAT}))

    # Records

    def write_history(self, sweep: str, trial_id: str, rows: Sequence[records.Row]) -> None:
        """The trial's history is now `rows`, one per epoch. Raises StoreError; then the old history stands."""
        self.files.write(_history(sweep, trial_id), _encode(records.table(rows)))

    def read_trial(self, sweep: str, trial_id: str) -> list[records.Row]:
        """The trial's rows in order of epoch, as last written for it alone. Raises DamagedError."""
        name = _history(sweep, trial_id)
        try:
            rows: list[records.Row] = _decode(name, self.files.read(name)).to_pylist()
        except FileNotFoundError:
            return []
        return rows

    def history(self, sweep: str) -> tuple[dict[str, pa.Table], list[Damage]]:
        """The sweep's history by trial, and the files that are damaged and left out."""
        tables, damaged = self._tables(sweep, "history")
        finished = tables.pop(FINISHED, None)
        result: dict[str, pa.Table] = {}
        if finished is not None:
            result = {t: rows for t, rows in _by_trial(finished) if t not in tables}
        return {**result, **tables}, damaged

    def read_all(self) -> tuple["Histories", list[Damage]]:
        """Everything recorded in any sweep, and the files that are damaged and left out."""
        current: dict[str, dict[str, pa.Table]] = {}
        superseded: list[pa.Table] = []
        damaged: list[Damage] = []
        for sweep in self.sweeps():
            current[sweep], bad = self.history(sweep)
            old, old_bad = self._tables(sweep, "superseded")
            superseded += old.values()
            damaged += bad + old_bad
        return Histories(current, superseded), damaged

    def set_aside(self, damage: Damage) -> str:
        """Move a damaged file out of the way, where it can be looked at; its new name."""
        sweep, _, rest = damage.name.partition("/")
        to = f"{sweep}/damaged/{rest.replace('/', '-')}"
        try:
            self.files.move(damage.name, to)
        except FileNotFoundError:
            return damage.name
        return to

    def supersede(self, sweep: str, trial_id: str, rows: pa.Table) -> None:
        """The trial's history `rows` belongs to settings it no longer has: known still, but not in the sweep."""
        last_key = rows["epoch_key"][-1].as_py()
        self.files.write(f"{sweep}/superseded/{trial_id}-{last_key[:16]}.parquet", _encode(rows))
        self.files.delete(_history(sweep, trial_id))

    def compact(self, sweep: str, finished: set[str]) -> None:
        """Merge the histories of `finished` trials into one file, where there are many or one is outdated.

        The merged file is written before the single ones go, and a trial's own file wins over the merged one.
        """
        single = {n.removesuffix(".parquet") for n in self.files.names(f"{sweep}/history", ".parquet")}
        merged_before = FINISHED in single
        movable = single & finished
        if len(single) <= COMPACT_ABOVE and not (merged_before and movable):
            return
        by_trial, damaged = self.history(sweep)
        keep = [rows for trial_id, rows in by_trial.items() if trial_id in finished]
        if damaged or not keep:
            return
        self.files.write(_history(sweep, FINISHED), _encode(pa.concat_tables(keep)))
        for trial_id in movable:
            self.files.delete(_history(sweep, trial_id))

    def sweeps(self) -> list[str]:
        """The names of the sweeps in the store."""
        return [name for name in self.files.folders() if name != CHECKPOINTS]

    def _tables(self, sweep: str, folder: str) -> tuple[dict[str, pa.Table], list[Damage]]:
        names = self.files.names(f"{sweep}/{folder}", ".parquet")

        def read(name: str) -> pa.Table | Damage | None:
            path = f"{sweep}/{folder}/{name}"
            try:
                return _decode(path, self.files.read(path))
            except FileNotFoundError:
                return None
            except DamagedError as error:
                return Damage(path, str(error))

        found = dict(zip(names, _all(read, names), strict=True))
        tables = {n.removesuffix(".parquet"): t for n, t in found.items() if isinstance(t, pa.Table)}
        return tables, [d for d in found.values() if isinstance(d, Damage)]

    # Checkpoints

    def write_checkpoint(self, key: str, state: Mapping[str, npt.NDArray[Any]]) -> int:
        """Keep `state` (name to array) under the epoch key; bytes written. Raises StoreError."""
        from safetensors.numpy import save

        content = save(dict(state))
        manifest = {"key": key, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        self.files.write(f"{CHECKPOINTS}/{key}.safetensors", content)
        self.files.write(f"{CHECKPOINTS}/{key}.json", _json_bytes(manifest))
        return len(content)

    def read_checkpoint(self, key: str) -> dict[str, npt.NDArray[Any]]:
        """The state kept under the epoch key. Raises FileNotFoundError, or DamagedError naming the file."""
        from safetensors.numpy import load

        try:
            manifest = _json_object(self.files.read(f"{CHECKPOINTS}/{key}.json"))
            expected = (manifest["key"], manifest["sha256"])
        except (ValueError, KeyError):
            raise DamagedError(f"{self.files}/{CHECKPOINTS}/{key}.json: damaged manifest") from None
        content = self.files.read(f"{CHECKPOINTS}/{key}.safetensors")
        if expected != (key, hashlib.sha256(content).hexdigest()):
            raise DamagedError(
                f"{self.files}/{CHECKPOINTS}/{key}.safetensors: damaged, its sha256 is not its manifest's"
            )
        state: dict[str, npt.NDArray[Any]] = load(content)
        return state

    def checkpoints(self) -> set[str]:
        """The keys of all checkpoints."""
        return {name.removesuffix(".json") for name in self.files.names(CHECKPOINTS, ".json")}

    def delete_checkpoint(self, key: str) -> int:
        """Free the checkpoint under `key`, manifest first; bytes freed."""
        freed = self.files.size(f"{CHECKPOINTS}/{key}.safetensors")
        self.files.delete(f"{CHECKPOINTS}/{key}.json")
        self.files.delete(f"{CHECKPOINTS}/{key}.safetensors")
        return freed

    def delete_leftovers(self) -> None:
        """Free what writes that were cut off left behind: temporaries, and weights without a manifest."""
        complete = self.checkpoints()
        for name in self.files.names(CHECKPOINTS, ".safetensors"):
            if name.removesuffix(".safetensors") not in complete:
                self.files.delete(f"{CHECKPOINTS}/{name}")
        for name in self.files.temporaries():
            self.files.delete(name)

    # What belongs to one sweep besides

    def write_sweep(self, sweep: str, document: Mapping[str, Any]) -> None:
        """Keep the sweep's document beside its results. Raises StoreError."""
        self.files.write(f"{sweep}/sweep.json", _json_bytes(document))

    def write_model(self, sweep: str, trial_id: str, content: bytes, record: records.Row) -> None:
        """Keep the trial's best model, the bytes of a .keras file, and the record of its epoch beside it."""
        self.files.write(f"{sweep}/models/{trial_id}.keras", content)
        self.files.write(f"{sweep}/models/{trial_id}.json", _json_bytes(record))

    def models(self, sweep: str) -> dict[str, str]:
        """Trial to epoch key, for the best models that are kept."""
        found = {}
        for name in self.files.names(f"{sweep}/models", ".json"):
            try:
                key = str(_json_object(self.files.read(f"{sweep}/models/{name}"))["epoch_key"])
            except (ValueError, KeyError):
                continue
            found[name.removesuffix(".json")] = key
        return found

    def write_failure(self, sweep: str, trial_id: str, reason: str) -> None:
        """Keep why a trial failed. Raises StoreError."""
        self.files.write(f"{sweep}/failures/{trial_id}.json", _json_bytes({"reason": reason}))

    def clear_failure(self, sweep: str, trial_id: str) -> None:
        """The trial failed no longer."""
        self.files.delete(f"{sweep}/failures/{trial_id}.json")

    def failures(self, sweep: str) -> dict[str, str]:
        """Trial to reason, for the trials that failed when last tried."""
        return self._reasons(sweep, "failures")

    def _reasons(self, sweep: str, folder: str) -> dict[str, str]:
        found = {}
        for name in self.files.names(f"{sweep}/{folder}", ".json"):
            try:
                reason = str(_json_object(self.files.read(f"{sweep}/{folder}/{name}"))["reason"])
            except (ValueError, KeyError):
                reason = f"unknown: {sweep}/{folder}/{name} is damaged"
            found[name.removesuffix(".json")] = reason
        return found

    def write_note(self, sweep: str, trial_id: str, note: str) -> None:
        """Keep something about a trial that people should know. Raises StoreError."""
        self.files.write(f"{sweep}/notes/{trial_id}.json", _json_bytes({"reason": note}))

    def notes(self, sweep: str) -> dict[str, str]:
        """Trial to what people should know about it."""
        return self._reasons(sweep, "notes")

    def write_run(self, sweep: str, state: Mapping[str, Any]) -> None:
        """Keep what the run is doing now, for `sweep status` elsewhere. Raises StoreError."""
        self.files.write(f"{sweep}/run.json", _json_bytes(state))

    def read_run(self, sweep: str) -> dict[str, Any]:
        """What the last run said it was doing; empty when there is none or it cannot be read."""
        try:
            return _json_object(self.files.read(f"{sweep}/run.json"))
        except (FileNotFoundError, ValueError):
            return {}

    @contextmanager
    def lock(self, sweep: str) -> Iterator[None]:
        """Hold the sweep for this process. Raises StoreError saying who has it. Released by death, too."""
        with self._flock(sweep, patience=2.0) as holder:
            if holder is not None:
                raise HeldError(
                    f"sweep {sweep!r} in {self.files} is being run by {holder}; "
                    "wait for it, watch it with `sweep status`, or stop it first"
                )
            yield

    def held(self, sweep: str) -> bool:
        """Whether some process runs the sweep now."""
        if not self.files.size(f"{sweep}/lock"):
            return False
        with self._flock(sweep) as holder:
            return holder is not None

    @contextmanager
    def _flock(self, sweep: str, patience: float = 0.0) -> Iterator[str | None]:
        """None while the lock is ours, else who has it. `patience` in seconds outlasts a look by `held`."""
        assert isinstance(self.files, LocalFiles)
        path = self.files.path(f"{sweep}/lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreError(f"{path}: cannot be written ({error.strerror}); give another --results") from None
        try:
            until = time.monotonic() + patience
            while not (ours := _try_lock(descriptor)) and time.monotonic() < until:
                time.sleep(0.1)
            if ours:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
            yield None if ours else os.pread(descriptor, 1000, 0).decode(errors="replace")
        finally:
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _history(sweep: str, trial_id: str) -> str:
    return f"{sweep}/history/{trial_id}.parquet"


def _by_trial(merged: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each trial of a merged file, where they stand together."""
    if not len(merged):
        return
    runs = pc.run_end_encode(merged["trial_id"].combine_chunks())
    start = 0
    for end, trial_id in zip(runs.run_ends.to_pylist(), runs.values.to_pylist(), strict=True):
        yield trial_id, merged.slice(start, end - start)
        start = end


def _encode(history: pa.Table) -> bytes:
    """Parquet with a checksum in every page; readable by anything that reads Parquet."""
    sink = pa.BufferOutputStream()
    pq.write_table(history, sink, compression="zstd", write_page_checksum=True, write_statistics=False)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _decode(name: str, content: bytes) -> pa.Table:
    """The table in a Parquet file of ours. Raises DamagedError unless it is whole and as written."""
    try:
        table = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True).read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedError(f"{name}: damaged ({str(error).splitlines()[0][:120]})") from None
    if not table.schema.equals(records.HISTORY):
        raise DamagedError(f"{name}: damaged, its columns are not those of a history")
    return table


def _all(function: Callable[[str], T], names: Sequence[str]) -> list[T]:
    if len(names) < 8:
        return [function(name) for name in names]
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(function, names))


def _json_bytes(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, default=str) + "\n").encode()


def _json_object(content: bytes) -> dict[str, Any]:
    value = json.loads(content)
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value
