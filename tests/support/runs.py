"""A run in this process, and what of its history is the same in every run."""

from typing import Any

import pyarrow as pa

from orchestrator.execution.events import Outcome
from orchestrator.execution.run import run_sweep
from orchestrator.planning.plan import Plan
from orchestrator.spec.sweep import Sweep
from orchestrator.storage.store import Store
from tests.support.silent import TIMINGS, Silent


def run(sweep: Sweep, store: Store, share: bool = True, listener: Silent | None = None) -> tuple[Outcome, Plan]:
    """Run the sweep as `sweep run` does; what the run did, and the plan afterwards."""
    outcome = run_sweep(sweep, store, listener or Silent(), share=share)
    return outcome, outcome.plan


def numbers(store: Store, name: str = "small") -> list[dict[str, Any]]:
    """Everything in the history that must not depend on when, where and in which order it was trained."""
    histories, damaged = store.history(name)
    assert damaged == []
    rows = pa.concat_tables(histories.values()).drop_columns(list(TIMINGS)).to_pylist()
    return sorted(rows, key=lambda r: (r["trial_id"], r["epoch"]))
