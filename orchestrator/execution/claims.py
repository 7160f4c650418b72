"""The other sweeps that run in the same store now: what they compute, what they have recorded, what they need.

Runs speak to each other only through the store. While there are other runs, each run writes a claims.json:

    places    the epoch that each of its running trials computes, by trial
    waiting   the epochs that its waiting trials compute next
    held      the checkpoints that its trials need

A missing field means unknown, and the others have to wait for it. A run that is alone claims nothing. A run that
has just begun claims only that it computes nothing yet. A claim may be older than the run, and then claims too
much: an epoch that is no longer computed is on record, and a waiting trial may go on from any checkpoint of its
chain up to the claimed epoch.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from orchestrator.planning.checkpoint_retention import held_by_history, policy_of
from orchestrator.storage import checksums
from orchestrator.storage.history import Histories
from orchestrator.storage.store import Store

PREFIX = 16
"""Characters of a key in a claim. Two keys with the same prefix make a run wait, and nothing worse."""


@dataclass(frozen=True)
class Claims:
    """What a run claims, keys by their first `PREFIX` characters; None for what it has not said.

    `computing` is by trial.
    """

    computing: Mapping[str, str] | None
    waiting: frozenset[str] | None
    held: frozenset[str] | None


NOTHING = Claims({}, frozenset(), frozenset())
"""The claims of a process that has locked a sweep but trains nothing."""


@dataclass(frozen=True)
class ClaimedEpochs:
    """The epochs that other runs compute now: those in `prefixes`, and those right after an epoch in `parents`.

    `unknown` while a run has not said what it computes: then it may be any epoch.
    """

    prefixes: frozenset[str] = frozenset()
    parents: frozenset[str] = frozenset()
    unknown: bool = False

    def covers(self, key: str, before: str | None) -> bool:
        """Whether another run may compute the epoch `key`, which follows the epoch `before`."""
        return self.unknown or key[:PREFIX] in self.prefixes or before in self.parents


class OtherSweeps:
    """What is known of the other sweeps in a store, as of the last look."""

    def __init__(self, store: Store, sweep: str, histories: Histories) -> None:
        """The sweeps but `sweep`, with the `histories` that were read; no sweep is known to be running."""
        self._store, self._sweep = store, sweep
        self._histories = {name: dict(trials) for name, trials in histories.current.items() if name != sweep}
        self._runs = dict(histories.runs)
        self._claims: dict[str, Claims] = {}
        self._held: dict[str, set[str]] = {}
        self._held_by_trial: dict[str, dict[str, tuple[pa.Table, str, set[str]]]] = {}
        self._published: Mapping[str, Any] | None = None
        self._looked = False

    @property
    def running(self) -> Collection[str]:
        """The sweeps that other processes ran at the last look."""
        return self._claims.keys()

    def publish(self, computing: Mapping[str, str], waiting: Iterable[str], held: Iterable[str]) -> None:
        """Claim what this run computes, what it computes next, and what it needs. Raises StoreError."""
        claims = {
            "places": {trial_id: key[:PREFIX] for trial_id, key in computing.items()},
            "waiting": sorted({key[:PREFIX] for key in waiting}),
            "held": sorted({key[:PREFIX] for key in held}),
        }
        self._write(claims)

    def begin(self) -> None:
        """Claim that this run computes nothing yet. Raises StoreError."""
        self._write({"places": {}})

    def _write(self, claims: Mapping[str, Any]) -> None:
        if claims != self._published:
            self._store.write_claims(self._sweep, claims)
            self._published = claims

    def look(self) -> list[pa.Table]:
        """Read which sweeps run now, and their claims; the histories that have changed since the last look.

        Claims are read before histories: an epoch that is no longer claimed is on record by then.
        """
        running = self._store.others()
        if not running and self._published:
            self._write({})  # and look again: a run may have begun before it could read this
            running = self._store.others()
        first, self._looked = not self._looked, True
        claims = {sweep: _parsed(self._store.read_claims(sweep)) for sweep in running}
        changed: list[pa.Table] = []
        for sweep, run in self._store.runs().items():
            if sweep == self._sweep:
                continue
            before = self._runs.get(sweep, b"")
            if sweep in running or sweep in self._claims or run != before or (first and _was_cut_off(run)):
                changed += self._refresh(sweep)
                self._runs[sweep] = run
        self._claims = claims
        return changed

    def claimed(self) -> ClaimedEpochs:
        """The epochs that other runs compute, or are about to.

        A trial that has recorded its claimed epoch computes the one after its last record.
        """
        prefixes, parents = set(), set()
        for sweep, claims in self._claims.items():
            for trial_id, prefix in (claims.computing or {}).items():
                prefixes.add(prefix)
                rows = self._histories.get(sweep, {}).get(trial_id)
                keys: list[str] = [] if rows is None else rows["epoch_key"].to_pylist()
                if any(key.startswith(prefix) for key in keys):
                    parents.add(keys[-1])
        unknown = any(claims.computing is None for claims in self._claims.values())
        return ClaimedEpochs(frozenset(prefixes), frozenset(parents), unknown)

    def may_need(self, way: Sequence[str]) -> bool:
        """Whether a running sweep may need the checkpoint of the last of the epochs `way`, which lead to it."""
        if not self._claims:
            return False
        prefixes = {key[:PREFIX] for key in way}
        for sweep, claims in self._claims.items():
            if claims.computing is None or claims.waiting is None or claims.held is None:
                return True
            needed = claims.waiting.union(claims.computing.values())
            if not prefixes.isdisjoint(needed) or way[-1][:PREFIX] in claims.held:
                return True
            if way[-1] in self._held_by(sweep):
                return True
        return False

    def hold(self, key: str) -> bool:
        """Whether a sweep that does not run now holds the checkpoint."""
        return any(key in self._held_by(sweep) for sweep in self._histories if sweep not in self._claims)

    def _held_by(self, sweep: str) -> Collection[str]:
        """The checkpoints that a sweep holds by its history."""
        if sweep not in self._held:
            policy = policy_of(self._store, sweep)
            before = self._held_by_trial.get(sweep, {})
            now = {}
            for trial_id, rows in self._histories.get(sweep, {}).items():
                last = before.get(trial_id)
                # The table itself is compared: a new one may lie at the address of one that was freed.
                same = last is not None and last[0] is rows and last[1] == policy
                now[trial_id] = last if last and same else (rows, policy, held_by_history(rows, policy))
            self._held_by_trial[sweep] = now
            self._held[sweep] = {key for _, _, held in now.values() for key in held}
        return self._held[sweep]

    def _refresh(self, sweep: str) -> list[pa.Table]:
        """Read the sweep's history; the tables that are not those of the last look.

        Where a file is damaged, what was read before stays known.
        """
        before = self._histories.get(sweep, {})
        histories, damaged = self._store.history(sweep)
        now = {**before, **histories} if damaged else histories
        self._histories[sweep] = now
        self._held.pop(sweep, None)
        return [rows for trial_id, rows in now.items() if before.get(trial_id) is not rows]


def _was_cut_off(run: bytes) -> bool:
    """Whether a run died: its run.json was not written at its end, so more may be on record than was read."""
    try:
        return bool(checksums.read_json(run)["running"])
    except (ValueError, KeyError):
        return bool(run)


def _parsed(claims: Mapping[str, Any] | None) -> Claims:
    """The claims in a claims.json."""
    if claims is None:
        return NOTHING
    computing, waiting, held = (claims.get(name) for name in ("places", "waiting", "held"))
    return Claims(
        computing if isinstance(computing, dict) else None,
        frozenset(waiting) if isinstance(waiting, list) else None,
        frozenset(held) if isinstance(held, list) else None,
    )
