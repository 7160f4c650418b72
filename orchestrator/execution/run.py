"""A run from its sweep to its outcome: decode the data, start Ray, lock, test ranges, plan, train.

Ray's own experiment state is never needed: after any failure, running the same sweep again goes on from the store.
"""

import time

from orchestrator.execution import range_tests, session
from orchestrator.execution.events import Listener, Outcome
from orchestrator.execution.recorder import RunRecorder, take_over
from orchestrator.planning import plan as planning
from orchestrator.planning.plan import Plan
from orchestrator.planning.root_key import Counting, RootFacts, silently
from orchestrator.spec.sweep import Sweep
from orchestrator.storage.store import Store


def run_sweep(
    sweep: Sweep,
    store: Store,
    listener: Listener,
    address: str | None = None,
    share: bool = True,
    counting: Counting = silently,
) -> Outcome:
    """Train what `store` lacks of `sweep`, on the Ray cluster at `address` or on this machine.

    Without `share` every trial is trained by itself. `counting` shows the progress of fetching and decoding.

    A failed trial does not end the run. A failed range test does: `failed_range_tests` names it, and nothing is
    trained. Raises InputError before anything is written for what cannot run, HeldError while another process
    runs the sweep, and StoreError for a store that cannot be written.
    """
    plan = planning.make(sweep, store, share, RootFacts(sweep.trainer, counting))
    store.probe()
    session.prepare((t.recipe for t in plan.unfinished), counting)
    with session.session(plan, store, address) as findings, store.lock(sweep.name):
        for finding in findings:
            listener.say(finding.line)
        if plan.open_tests:
            store.create()
            failed = range_tests.run(plan.open_tests, sweep.trainer, store, listener.say)
            if failed:
                return Outcome(plan, failed_range_tests=failed)
        take_over(store, sweep.name)
        outcome = carry_out(planning.renew(plan, store), store, listener)
    outcome.plan = planning.renew(outcome.plan, store, share=True)
    return outcome


def carry_out(plan: Plan, store: Store, listener: Listener) -> Outcome:
    """Train the unfinished trials of `plan`. A trial that fails does not end the run. Raises StoreError.

    The caller holds the sweep's lock and has a session. The plan has no open range tests.
    """
    assert not plan.open_tests
    started = time.monotonic()
    recorder = RunRecorder(plan, store, listener)
    recorder.open()
    if plan.has_work:
        from orchestrator.execution.ray_tune import fan_out

        fan_out(plan, store, recorder)
    recorder.close()
    recorder.outcome.seconds = time.monotonic() - started
    return recorder.outcome
