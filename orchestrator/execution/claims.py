"""The other sweeps that are run in the same store now: what they train, what they have trained, what they need.

Runs speak to each other only through the store. While others are there, each keeps in its claims.json

    places    the epoch that each of its running trials is computing, by trial
    waiting   the epochs that its waiting trials would compute next
    held      the checkpoints that its trials need

What is missing there is not known, and has to be waited for: a run that is alone says nothing, and one that has
just begun says only that it computes nothing yet. What is published may be older than the run, and is then more
than it needs: a trial that has left its place has the epoch of that place on record, and a waiting trial may go on
from any checkpoint at or behind its own.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from orchestrator.planning.checkpoint_retention import held_by_history, keeps_all
from orchestrator.storage import checksums, history
from orchestrator.storage.store import FINISHED, Histories, Store
from orchestrator.storage.verified_files import in_threads

PREFIX = 16
"""Characters of a key that are published; two keys that agree in them make a run wait, and nothing worse."""
UNSETTLED = 2_000_000_000
"""Nanoseconds in which a file may be written twice and show the same time: object stores count in seconds."""


@dataclass(frozen=True)
class Claims:
    """What a run has published, keys by their first `PREFIX` characters; None for what it has not said."""

    places: Mapping[str, str] | None
    waiting: frozenset[str] | None
    held: frozenset[str] | None


NOTHING = Claims({}, frozenset(), frozenset())
"""What a process claims that holds a sweep but trains nothing."""


@dataclass(frozen=True)
class Taken:
    """The epochs that other runs compute: `places` by their prefix, or one right after one of `parents`.

    `unknown` while a run has not said what it computes.
    """

    places: frozenset[str] = frozenset()
    parents: frozenset[str] = frozenset()
    unknown: bool = False

    def __call__(self, key: str, before: str | None) -> bool:
        """Whether another run may compute the epoch `key`, which follows the epoch `before`."""
        return self.unknown or key[:PREFIX] in self.places or before in self.parents


class OtherSweeps:
    """What is known of the other sweeps in a store, as of the last look."""

    def __init__(self, store: Store, sweep: str, histories: Histories) -> None:
        """The sweeps but `sweep`, with what was read of them; none of them is known to be run."""
        self._store, self._sweep = store, sweep
        self._trials = {name: dict(rows) for name, rows in histories.current.items() if name != sweep}
        self._runs = dict(histories.runs)
        self._claims: dict[str, Claims] = {}
        self._files: dict[str, _HistoryFiles] = {}
        self._held: dict[str, set[str]] = {}
        self._by_trial: dict[str, dict[str, tuple[pa.Table, bool, set[str]]]] = {}
        self._published: Mapping[str, Any] | None = None
        self._looked = False

    @property
    def running(self) -> Collection[str]:
        """The sweeps that other processes ran at the last look."""
        return self._claims.keys()

    def publish(self, places: Mapping[str, str], waiting: Iterable[str], held: Iterable[str]) -> None:
        """Say what this run computes, is about to compute, and needs. Raises StoreError."""
        claims = {
            "places": {trial_id: key[:PREFIX] for trial_id, key in places.items()},
            "waiting": sorted({key[:PREFIX] for key in waiting}),
            "held": sorted({key[:PREFIX] for key in held}),
        }
        self._write(claims)

    def begin(self) -> None:
        """Say that this run is there and computes nothing yet. Raises StoreError."""
        self._write({"places": {}})

    def _write(self, claims: Mapping[str, Any]) -> None:
        if claims != self._published:
            self._store.write_claims(self._sweep, claims)
            self._published = claims

    def look(self) -> list[pa.Table]:
        """See who runs what now; the histories that are new or have changed since the last look.

        Claims are read before histories: an epoch that is claimed no longer is on record by then.
        """
        running = self._store.others()
        if not running and self._published:
            self._write({})  # and look again: somebody may have come before this could be read
            running = self._store.others()
        first, self._looked = not self._looked, True
        claims = {sweep: _parsed(self._store.read_claims(sweep)) for sweep in running}
        changed: list[pa.Table] = []
        for sweep, run in self._store.runs().items():
            if sweep == self._sweep:
                continue
            before = self._runs.get(sweep, b"")
            if sweep in running or sweep in self._claims or run != before or (first and _cut_off(run)):
                changed += self._refresh(sweep)
                self._runs[sweep] = run
        self._claims = claims
        return changed

    def taken(self) -> Taken:
        """The epochs that other runs compute or are about to.

        Where a trial has recorded the epoch of its place it computes the one after the last that it has recorded.
        """
        places, parents = set(), set()
        for sweep, claims in self._claims.items():
            for trial_id, place in (claims.places or {}).items():
                places.add(place)
                rows = self._trials.get(sweep, {}).get(trial_id)
                keys: list[str] = [] if rows is None else rows["epoch_key"].to_pylist()
                if any(key.startswith(place) for key in keys):
                    parents.add(keys[-1])
        unknown = any(claims.places is None for claims in self._claims.values())
        return Taken(frozenset(places), frozenset(parents), unknown)

    def want(self, way: Sequence[str]) -> bool:
        """Whether a run may still need the checkpoint of the last of the epochs `way`, which lead to it."""
        if not self._claims:
            return False
        prefixes = {key[:PREFIX] for key in way}
        for sweep, claims in self._claims.items():
            if claims.places is None or claims.waiting is None or claims.held is None:
                return True
            needed = claims.waiting.union(claims.places.values())
            if not prefixes.isdisjoint(needed) or way[-1][:PREFIX] in claims.held:
                return True
            if way[-1] in self._held_by(sweep):
                return True
        return False

    def have(self, key: str) -> bool:
        """Whether a sweep that nobody runs now holds the checkpoint."""
        return any(key in self._held_by(sweep) for sweep in self._trials if sweep not in self._claims)

    def _held_by(self, sweep: str) -> Collection[str]:
        """The checkpoints that a sweep holds by its history."""
        if sweep not in self._held:
            every = keeps_all(self._store, sweep)
            before = self._by_trial.get(sweep, {})
            now = {}
            for trial_id, rows in self._trials.get(sweep, {}).items():
                seen = before.get(trial_id)
                # The table itself is kept: a new one may lie where one that is gone has lain.
                fresh = seen is not None and seen[0] is rows and seen[1] == every
                now[trial_id] = seen if seen and fresh else (rows, every, held_by_history(rows, every))
            self._by_trial[sweep] = now
            self._held[sweep] = {key for _, _, held in now.values() for key in held}
        return self._held[sweep]

    def _refresh(self, sweep: str) -> list[pa.Table]:
        """Read what has changed in the sweep's history; the histories of trials that may be other ones now."""
        before = self._trials.get(sweep, {})
        now = self._files.setdefault(sweep, _HistoryFiles()).read(self._store, sweep)
        self._trials[sweep] = now
        self._held.pop(sweep, None)
        return [rows for trial_id, rows in now.items() if before.get(trial_id) is not rows]


class _HistoryFiles:
    """The files of a sweep's history, each read again only when it has changed."""

    def __init__(self) -> None:
        """None of them has been read."""
        self._times: dict[str, int] = {}
        self._single: dict[str, pa.Table] = {}
        self._merged: dict[str, pa.Table] = {}

    def read(self, store: Store, sweep: str) -> dict[str, pa.Table]:
        """The history of each trial, as `Store.history` gives it. A file that is damaged is as it was before."""
        times = store.history_times(sweep)
        settled = max(times.values(), default=0) - UNSETTLED
        changed = {name for name, time in times.items() if time > settled or self._times.get(name) != time}
        gone = self._times.keys() - times.keys()
        self._times = times
        for name in gone:
            self._single.pop(name, None)
        names = sorted(changed - {FINISHED})
        tables = in_threads(lambda name: store.history_file(sweep, name), names, store.files.threads)
        self._single |= {name: rows for name, rows in zip(names, tables, strict=True) if rows is not None}
        if gone or FINISHED in changed:
            merged = store.history_file(sweep, FINISHED)
            self._merged = self._merged if merged is None else dict(history.by_trial(merged))
        merged_only = {name: rows for name, rows in self._merged.items() if name not in self._single}
        return {**merged_only, **{name: rows for name, rows in self._single.items() if len(rows)}}


def _cut_off(run: bytes) -> bool:
    """Whether a run's run.json was not written at its end: it may have recorded more since it was last read."""
    try:
        return bool(checksums.read_json(run)["running"])
    except (ValueError, KeyError):
        return bool(run)


def _parsed(claims: Mapping[str, Any] | None) -> Claims:
    """What a run's claims.json says."""
    if claims is None:
        return NOTHING
    places, waiting, held = (claims.get(name) for name in ("places", "waiting", "held"))
    return Claims(
        places if isinstance(places, dict) else None,
        frozenset(waiting) if isinstance(waiting, list) else None,
        frozenset(held) if isinstance(held, list) else None,
    )
