"""A plan never changes: what moves in a run is the scheduler's."""

from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from orchestrator.execution.recorder import RunRecorder, take_over
from orchestrator.planning import plan
from orchestrator.planning.plan import Plan
from orchestrator.storage.history import EpochIndex
from orchestrator.storage.store import Store
from tests.faults.conftest import forked, memory
from tests.support import engine
from tests.support.silent import Silent

__all__ = ["memory"]


def plain(value: Any) -> Any:
    """All that a value holds, to the bottom, as plain values that can be compared."""
    if isinstance(value, pa.Table):
        value = value.to_pylist()
    elif isinstance(value, np.ndarray):
        value = (value.dtype.str, value.shape, value.tobytes())
    elif isinstance(value, EpochIndex):
        value = vars(value)
    elif is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return sorted(map(repr, value)) if isinstance(value, Set) else repr(value)


def contents(planned: Plan) -> Any:
    """All that a plan holds, but for what is looked up about the data when it is needed."""
    return {
        field.name: plain(getattr(planned, field.name)) for field in fields(planned) if field.name != "root_facts"
    }


def test_a_plan_equals_itself_before_and_after_a_run(memory: Path) -> None:
    store = Store.at(str(memory / "results"))
    engine.run(forked(epochs=2), store)
    sweep = forked(seeds=[0, 1])
    with store.lock("small"):
        take_over(store, "small")
        made = plan.make(sweep, store)
        before, epochs, unfinished = contents(made), made.epochs, made.unfinished
        recorder = RunRecorder(made, store, Silent())
        recorder.open()
        start = engine.here(engine.context(made, store, recorder.run))
        while trial := recorder.next():
            steps, done = start(trial), False
            while not done:
                result = steps.advance()
                recorder.progress(trial, result)
                done = result["done"]
        recorder.close()
        assert contents(made) == before
        assert (made.epochs, made.unfinished) == (epochs, unfinished)
        assert all(cursor.ending for cursor in recorder.scheduler.cursors.values())
    assert recorder.outcome.trained > 0
    assert contents(plan.make(sweep, store)) != before
    engine.assert_whole(sweep, store)
