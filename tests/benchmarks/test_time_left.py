"""Whether the time left is right within 25 % from a fifth of a run on: `pytest -m benchmark -s`."""

import time
from pathlib import Path

import pytest

from orchestrator.console.live_progress import Estimate
from orchestrator.execution import run, session
from orchestrator.planning import plan
from orchestrator.planning.plan import Plan
from orchestrator.spec.trials import Trial
from orchestrator.storage.history import Row
from orchestrator.storage.store import Store
from tests.support.silent import Silent
from tests.support.sweeps import small

CHANGES = {
    "schedules": {"constant": {}, "cosine": {}, "late": {"name": "step", "every": 9}},
    "seeds": [0, 1],
    "epochs": 12,
    "early_stopping": {"monitor": "val_loss", "patience": 5},
    "trainer": "tests.benchmarks.test_sharing:PacedTrainer",
}


class Watch(Silent):
    """Asks after every epoch how long the run will still take."""

    def __init__(self, planned: Plan) -> None:
        """Nothing was asked yet."""
        super().__init__()
        self.estimate = Estimate(planned)
        self.asked: list[tuple[float, float, float]] = []

    def epoch(self, trial: Trial, row: Row) -> None:
        """Note the moment, the share of the run that is done and the time left."""
        self.estimate.add(row["seconds"])
        left = self.estimate.left
        assert left is not None
        self.asked.append((time.monotonic(), self.estimate.trained / self.estimate.epochs, left))

    def ended(self, trial: Trial, status: str, reason: str) -> None:
        """A trial that ends early leaves less to do."""
        self.estimate.recount()


@pytest.mark.benchmark
@pytest.mark.usefixtures("ray_session")
def test_the_time_left_is_right_within_a_quarter_after_a_fifth_of_the_run(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    planned = plan.make(small(**CHANGES), store)
    watch = Watch(planned)
    with session.session(planned, store, None), store.lock(planned.sweep.name):
        run.run(planned, store, watch)
    end = watch.asked[-1][0]
    errors = [
        (left - (end - moment)) / (end - moment)
        for moment, share, left in watch.asked
        if share >= 0.2 and end - moment > 2
    ]
    print(f"\n{len(watch.asked)} epochs; time left against what it took: {min(errors):+.0%} to {max(errors):+.0%}")
    assert len(errors) > 20
    assert max(map(abs, errors)) < 0.25
