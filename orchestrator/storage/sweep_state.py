"""The state of one sweep in a store, beside its histories: running and failed trials, notes, the last run."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.storage.store import Store


@dataclass(frozen=True, kw_only=True)
class SweepState:
    """The files of a sweep other than its histories, as they were at one moment.

    failures: the reason of each failure, by trial. notes: messages for people, by trial.
    running: the trials that have a worker; empty unless a process runs the sweep.
    run_started: the start of the last run in seconds since the epoch of Unix; None before the first run.
    """

    failures: Mapping[str, str]
    notes: Mapping[str, str]
    running: frozenset[str]
    run_started: float | None


def read(store: Store, sweep: str) -> SweepState:
    """The state of `sweep` now. A file that is missing or damaged counts as empty."""
    run = store.read_run(sweep)
    return SweepState(
        failures=store.failures(sweep),
        notes=store.notes(sweep),
        running=frozenset(run.get("running", {})) if store.held(sweep) else frozenset(),
        run_started=run.get("since"),
    )
