"""A run in this process, and what of its history is the same in every run."""

from typing import Any

import pyarrow as pa

from orchestrator.execution import run as execution
from orchestrator.execution.events import Outcome
from orchestrator.planning import plan
from orchestrator.planning.plan import Plan
from orchestrator.spec.sweep import Sweep
from orchestrator.storage.store import Store
from tests.support.silent import TIMINGS, Silent


def run(sweep: Sweep, store: Store, share: bool = True, listener: Silent | None = None) -> tuple[Outcome, Plan]:
    """Run the sweep as `sweep run` does; what the run did, and the plan afterwards."""
    made = plan.make(sweep, store, share=share)
    with store.lock(sweep.name):
        outcome = execution.run(made, store, listener or Silent())
    return outcome, plan.make(sweep, store)


def numbers(store: Store, name: str = "small") -> list[dict[str, Any]]:
    """Everything in the history that must not depend on when, where and in which order it was trained."""
    histories, damaged = store.history(name)
    assert damaged == []
    rows = pa.concat_tables(histories.values()).drop_columns(list(TIMINGS)).to_pylist()
    return sorted(rows, key=lambda r: (r["trial_id"], r["epoch"]))
