"""The store: records and checkpoints under one results folder. Every file name, every write, every verified read.

<results>/format.json                            what wrote this folder
<results>/lock                                   shared by all who run a sweep here, held alone while it is tidied
<results>/checkpoints/<epoch key>.safetensors    weights and optimizer state after that epoch, shared by all
<results>/checkpoints/<epoch key>.json           its manifest, written last: without it there is no checkpoint
<results>/range-tests/<key>.json                 the losses of a learning-rate range test, shared by all
<results>/<sweep>/sweep.json                     the sweep as last run
<results>/<sweep>/history/<trial>.parquet        the trial's epochs; rewritten whole after each
<results>/<sweep>/history/_finished.parquet      many finished trials in one file, so that reading stays fast
<results>/<sweep>/superseded/                    epochs of settings the sweep no longer has: still known
<results>/<sweep>/models/<trial>.keras           the best model of the trial
<results>/<sweep>/failures/<trial>.json          why the trial failed, until it succeeds
<results>/<sweep>/notes/<trial>.json             what else people should know about the trial
<results>/<sweep>/damaged/                       files that were not what was written, set aside
<results>/<sweep>/run.json, lock                 who runs the sweep now, and what is running
<results>/<sweep>/claims.json                    while it is run: what it trains and needs, for other runs
<results>/.turn                                  held by the run that decides something together with others

In an object store there is no rename, and none is needed: an object is whole or not there. In place of the lock
files there is a folder <results>/lock of leases, see `leases`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pyarrow as pa

from experiments.files import sha256
from orchestrator.storage import checksums, lock
from orchestrator.storage import history as records
from orchestrator.storage.checkpoints import CHECKPOINTS, Checkpoints
from orchestrator.storage.filesystem import DamagedError, Files
from orchestrator.storage.history import Histories
from orchestrator.storage.lock import SweepLocks
from orchestrator.storage.opening import files_at, locks_for
from orchestrator.storage.sweep_names import FORMAT_FILE, RANGE_TESTS
from orchestrator.storage.verified_files import CorruptFile, VerifiedFiles, in_threads

FORMAT = 1
FINISHED = "_finished"
_RUN = {"run": str, "running": dict, "attempts": dict, "since": float}
COMPACT_ABOVE = 256
"""More history files than this and the finished ones are merged: 10,000 small files take 5 s to read."""


class Store:
    """Records and checkpoints under one results folder."""

    def __init__(self, files: Files, locks: SweepLocks | None = None, compact_above: int = COMPACT_ABOVE) -> None:
        """The store in `files`. Raises DamagedError when another version of this program wrote it.

        `locks` say who runs which sweep, by default those that suit the files. Finished histories are merged where
        there are at least `compact_above` files.
        """
        self.files = files
        self._compact_above = compact_above
        self._runs = locks or locks_for(files)
        self._good = VerifiedFiles(files, self._runs.check)
        self.checkpoints = Checkpoints(files, self._good)
        try:
            written = _json_object(files.read(FORMAT_FILE))["format"]
        except FileNotFoundError:
            return
        except (ValueError, KeyError):
            fix = f'if this is a results folder, write {{"format": {FORMAT}}} into it'
            raise DamagedError(f"{files}/{FORMAT_FILE}: damaged; {fix}") from None
        if written != FORMAT:
            raise DamagedError(
                f"{files}: written in format {written}, this version reads format {FORMAT}; "
                "use the version that wrote it or give another --results"
            )

    @classmethod
    def at(cls, results: str, compact_above: int = COMPACT_ABOVE) -> "Store":
        """The store at a local path or an s3:// or gs:// address.

        Raises DamagedError when another version of this program wrote it, and InputError for an address that is
        malformed, cannot be reached, has no bucket, or denies access.
        """
        return cls(files_at(results), compact_above=compact_above)

    def __str__(self) -> str:
        """Where the store is."""
        return str(self.files)

    @property
    def address(self) -> str:
        """What `Store.at` opens the same store by, in any process and on any machine that sees it."""
        return self.files.address

    def probe(self) -> None:
        """Find out before anything is trained whether writing will fail. Raises InputError."""
        self.files.probe()

    def create(self) -> None:
        """Mark the folder as a store, so that other versions know what they see. Raises StoreError."""
        if not self.files.size(FORMAT_FILE):
            self._good.write(FORMAT_FILE, _json_bytes({"format": FORMAT}))

    # Records

    def write_history(self, sweep: str, trial_id: str, rows: Sequence[records.Row]) -> None:
        """The trial's history is now `rows`, one per epoch. Raises StoreError; then the old history stands."""
        self._good.write(_history(sweep, trial_id), checksums.table_bytes(records.table(rows)))

    def read_trial(self, sweep: str, trial_id: str) -> list[records.Row]:
        """The trial's rows in order of epoch, as last written for it alone. Raises DamagedError."""
        name = _history(sweep, trial_id)
        try:
            rows: list[records.Row] = self._good.table(name).to_pylist()
        except FileNotFoundError:
            return []
        return rows

    def history(self, sweep: str) -> tuple[dict[str, pa.Table], list[CorruptFile]]:
        """The sweep's history by trial, and the files that are damaged and left out.

        A trial's table is the same object as before where its file has not changed. The merged file is read last:
        it is written before the single ones are deleted, so it holds their rows.
        """
        tables, damaged = self._tables(sweep, "history", skip=FINISHED)
        finished = self._good.one(_history(sweep, FINISHED), self._merged)
        result: dict[str, pa.Table] = {}
        if isinstance(finished, CorruptFile):
            damaged.append(finished)
        elif finished is not None:
            result = {t: rows for t, rows in finished.items() if t not in tables}
        return {**result, **{t: rows for t, rows in tables.items() if len(rows)}}, damaged

    def read_all(self) -> tuple[Histories, list[CorruptFile]]:
        """Everything recorded in any sweep, and the files that are damaged and left out."""
        current: dict[str, dict[str, pa.Table]] = {}
        superseded: list[pa.Table] = []
        damaged: list[CorruptFile] = []
        runs = self.runs()
        for sweep in runs:
            current[sweep], bad = self.history(sweep)
            old, old_bad = self._tables(sweep, "superseded")
            superseded += old.values()
            damaged += bad + old_bad
        return Histories(current, superseded, runs), damaged

    def set_aside(self, damage: CorruptFile) -> str:
        """Move a damaged file out of the way, where it can be looked at; its new name."""
        sweep, _, rest = damage.name.partition("/")
        to = f"{sweep}/damaged/{rest.replace('/', '-')}"
        try:
            self._good.move(damage.name, to)
        except FileNotFoundError:
            return damage.name
        return to

    def supersede(self, sweep: str, trial_id: str, rows: pa.Table) -> None:
        """The trial's history `rows` belongs to settings it no longer has: known still, but not in the sweep.

        Where there is a merged file, an empty one of the trial's own hides the rows in it until it is merged anew.
        """
        last_key = rows["epoch_key"][-1].as_py()
        self._good.write(f"{sweep}/superseded/{trial_id}-{last_key[:16]}.parquet", checksums.table_bytes(rows))
        if self.files.size(_history(sweep, FINISHED)):
            self.write_history(sweep, trial_id, [])
        else:
            self._good.delete(_history(sweep, trial_id))

    def compact(self, sweep: str, finished: set[str]) -> None:
        """Merge the histories of `finished` trials into one file, where there are many or one is outdated.

        The merged file is written before the single ones go, and a trial's own file wins over the merged one.
        """
        single = {n.removesuffix(".parquet") for n in self.files.names(f"{sweep}/history", ".parquet")}
        merged_before = FINISHED in single
        single.discard(FINISHED)
        if not single or (len(single) < self._compact_above and not merged_before):
            return
        by_trial, damaged = self.history(sweep)
        unfinished = (single & by_trial.keys()) - finished
        if damaged or single == unfinished:
            return
        keep = [rows for trial_id, rows in by_trial.items() if trial_id not in unfinished]
        merged = pa.concat_tables([records.HISTORY.empty_table(), *keep])
        self._good.write(_history(sweep, FINISHED), checksums.table_bytes(merged))
        for trial_id in single - unfinished:
            self._good.delete(_history(sweep, trial_id))

    def sweeps(self) -> list[str]:
        """The names of the sweeps in the store."""
        return [name for name in self.files.folders() if name not in (CHECKPOINTS, RANGE_TESTS, lock.FOLDER)]

    def _tables(self, sweep: str, folder: str, skip: str = "") -> tuple[dict[str, pa.Table], list[CorruptFile]]:
        return self._good.each(f"{sweep}/{folder}", ".parquet", self._table, skip)

    def _table(self, name: str) -> pa.Table | CorruptFile | None:
        try:
            return self._good.table(name)
        except FileNotFoundError:
            return None
        except DamagedError as error:
            return CorruptFile(name, str(error))

    def _merged(self, name: str) -> dict[str, pa.Table] | CorruptFile | None:
        rows = self._table(name)
        return rows if rows is None or isinstance(rows, CorruptFile) else dict(records.by_trial(rows))

    def delete_leftovers(self) -> None:
        """Delete what interrupted writes left behind: temporary files, and halves of checkpoints."""
        self.checkpoints.delete_halves()
        for name in self.files.temporaries():
            self._good.delete(name)

    # What belongs to one sweep besides

    def write_range_test(self, key: str, curve: Mapping[str, Any]) -> None:
        """Keep the curve of a range test under its key. Raises StoreError."""
        self._good.write(f"{RANGE_TESTS}/{key}.json", checksums.json_bytes(curve))

    def read_range_tests(self) -> tuple[dict[str, dict[str, Any]], list[CorruptFile]]:
        """The curve of every range test by its key, and the files that are not what was written."""

        def read(name: str) -> dict[str, Any] | CorruptFile | None:
            try:
                curve = self._good.json(name, {"learning_rate": list, "loss": list, "seconds": float})
                if not all(isinstance(number, float) for number in curve["learning_rate"] + curve["loss"]):
                    raise ValueError("learning_rate, loss: expected numbers")
            except FileNotFoundError:
                return None
            except ValueError as error:
                return CorruptFile(name, f"{self}/{name}: damaged: {error}")
            return curve

        return self._good.each(RANGE_TESTS, ".json", read)

    def write_sweep(self, sweep: str, document: Mapping[str, Any]) -> None:
        """Keep the sweep's document beside its results. Raises StoreError."""
        self._good.write(f"{sweep}/sweep.json", _json_bytes(document))

    def read_sweep(self, sweep: str) -> dict[str, Any]:
        """The sweep's document as it was last run; empty where there is none or it cannot be read."""
        try:
            return _json_object(self.files.read(f"{sweep}/sweep.json"))
        except (FileNotFoundError, ValueError):
            return {}

    def write_model(self, sweep: str, trial_id: str, content: bytes, record: records.Row) -> None:
        """Keep the trial's best model, the bytes of a .keras file, and the record of its epoch beside it."""
        self._good.write(f"{sweep}/models/{trial_id}.keras", content)
        identity = {"sha256": sha256(content), "bytes": len(content)}
        self._good.write(f"{sweep}/models/{trial_id}.json", checksums.json_bytes({**record, **identity}))

    def models(self, sweep: str) -> dict[str, str]:
        """Trial to epoch key, for the best models that are kept."""
        return self.read_models(sweep)[0]

    def read_models(self, sweep: str) -> tuple[dict[str, str], list[CorruptFile]]:
        """Trial to epoch key, for the best models that are kept, and the files that are damaged."""
        return self._good.each(f"{sweep}/models", ".json", self._model, companion=".keras")

    def has_model(self, sweep: str, trial_id: str, key: str) -> bool:
        """Whether the trial's best model is kept and is that of the epoch `key`."""
        return self._model(f"{sweep}/models/{trial_id}.json") == key

    def _model(self, name: str) -> str | CorruptFile | None:
        """The epoch key in a model's record. The model is hashed if it was changed after that was written."""
        try:
            record = self._good.json(name, {"epoch_key": str, "sha256": str, "bytes": int})
            model = f"{name.removesuffix('.json')}.keras"
            changed = self.files.modified(model)
            if not changed:
                return None
            if self.files.size(model) == record["bytes"] and (
                changed <= self.files.modified(name) or sha256(self.files.read(model)) == record["sha256"]
            ):
                return str(record["epoch_key"])
            if not self.files.modified(model):  # it has gone meanwhile
                return None
        except FileNotFoundError:
            return None
        except ValueError as error:
            return CorruptFile(name, f"{name}: damaged ({error})")
        return CorruptFile(model, f"{model}: damaged (its sha256 is not the one on record)")

    def write_failure(self, sweep: str, trial_id: str, reason: str) -> None:
        """Keep why a trial failed. Raises StoreError."""
        self._good.write(f"{sweep}/failures/{trial_id}.json", checksums.json_bytes({"reason": reason}))

    def clear_failure(self, sweep: str, trial_id: str) -> None:
        """The trial failed no longer."""
        self._good.delete(f"{sweep}/failures/{trial_id}.json")

    def failures(self, sweep: str) -> dict[str, str]:
        """Trial to reason, for the trials that failed when last tried."""
        return self.read_reasons(sweep, "failures")[0]

    def write_note(self, sweep: str, trial_id: str, note: str) -> None:
        """Keep something about a trial that people should know. Raises StoreError."""
        self._good.write(f"{sweep}/notes/{trial_id}.json", checksums.json_bytes({"reason": note}))

    def notes(self, sweep: str) -> dict[str, str]:
        """Trial to what people should know about it."""
        return self.read_reasons(sweep, "notes")[0]

    def read_reasons(self, sweep: str, folder: str) -> tuple[dict[str, str], list[CorruptFile]]:
        """Trial to text in the folder `failures` or `notes`, and the files that are damaged."""

        def read(name: str) -> str | CorruptFile | None:
            try:
                return str(self._good.json(name, {"reason": str})["reason"])
            except FileNotFoundError:
                return None
            except ValueError as error:
                return CorruptFile(name, f"{name}: damaged ({error})")

        return self._good.each(f"{sweep}/{folder}", ".json", read)

    def write_run(self, sweep: str, state: Mapping[str, Any]) -> None:
        """Keep what the run is doing now, for `sweep status` elsewhere. Raises StoreError."""
        self._good.write(f"{sweep}/run.json", checksums.json_bytes(state))

    def read_run(self, sweep: str) -> dict[str, Any]:
        """What the last run said it was doing; empty when there is none or it cannot be read."""
        try:
            return self._good.json(f"{sweep}/run.json", _RUN)
        except (FileNotFoundError, ValueError):
            return {}

    def runs(self) -> dict[str, bytes]:
        """Each sweep's run.json as it stands, empty where there is none: it changes with every trial of a run."""

        def read(sweep: str) -> bytes:
            try:
                return self.files.read(f"{sweep}/run.json")
            except FileNotFoundError:
                return b""

        sweeps = self.sweeps()
        return dict(zip(sweeps, in_threads(read, sweeps, self.files.threads), strict=True))

    def write_claims(self, sweep: str, claims: Mapping[str, Any]) -> None:
        """Keep what the run of the sweep trains and needs, for other runs in this store. Raises StoreError."""
        self._good.write(f"{sweep}/claims.json", checksums.json_bytes(claims))

    def read_claims(self, sweep: str) -> dict[str, Any] | None:
        """What the run of the sweep has claimed; None where it has claimed nothing."""
        try:
            return self._good.json(f"{sweep}/claims.json", {})
        except FileNotFoundError:
            return None
        except ValueError:
            return {}

    def drop_claims(self, sweep: str) -> None:
        """The run of the sweep trains nothing any more."""
        self._good.delete(f"{sweep}/claims.json")

    @contextmanager
    def lock(self, sweep: str) -> Iterator[None]:
        """Hold the sweep for this process. Raises HeldError saying who has it. Released by death, too."""
        with self._runs.lock(sweep):
            self.drop_claims(sweep)  # of a run that died
            yield

    def others(self) -> set[str]:
        """Within `lock`: the other sweeps that are being run in this store."""
        return self._runs.others()

    def turn(self) -> AbstractContextManager[None]:
        """Within `lock`: no other run in this store is within this at the same time. Raises HeldError."""
        return self._runs.turn()

    def held(self, sweep: str) -> bool:
        """Whether some process runs the sweep now."""
        return self._runs.held(sweep)

    def alone(self) -> AbstractContextManager[bool]:
        """Within `lock`: whether no other sweep is run in this store. None can begin before the end of this."""
        return self._runs.alone()


def _history(sweep: str, trial_id: str) -> str:
    return f"{sweep}/history/{trial_id}.parquet"


def _json_bytes(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, default=str) + "\n").encode()


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError("no end of brackets") from None
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value
