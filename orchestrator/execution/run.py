"""Running what a plan leaves to do: Ray Tune fans out, the frontier says which trial may start, the store keeps.

Ray's own experiment state is never needed: whatever dies, running the same sweep again goes on from the store.
"""

import time

from orchestrator.execution.events import Listener, Outcome
from orchestrator.execution.recorder import RunRecorder
from orchestrator.planning.plan import Plan
from orchestrator.storage.store import Store


def run(plan: Plan, store: Store, listener: Listener) -> Outcome:
    """Train what `plan` leaves to do. The caller holds the sweep's lock and a `session`. Raises StoreError.

    No range test of the plan may be open: the caller has run them and planned anew. A trial that fails does not
    end the run; a store that cannot be written does.
    """
    assert not plan.open_tests
    started = time.monotonic()
    recorder = RunRecorder(plan, store, listener)
    recorder.open()
    if plan.unfinished:
        from orchestrator.execution.ray_tune import fan_out

        fan_out(plan, store, recorder)
    recorder.close()
    recorder.outcome.seconds = time.monotonic() - started
    return recorder.outcome
