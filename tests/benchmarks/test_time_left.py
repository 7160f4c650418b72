"""Whether the time left is right within 25 % from a fifth of a run on: `pytest -m benchmark -s`."""

import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.console.live_progress import Estimate
from orchestrator.execution.run import run_sweep
from orchestrator.planning.epoch_chain import ChainCursor
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

    def began(self, planned: Plan, cursors: Mapping[str, ChainCursor]) -> None:
        """Nothing was asked yet."""
        super().began(planned, cursors)
        self.estimate = Estimate(planned, cursors)
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
    watch = Watch()
    run_sweep(small(**CHANGES), Store.at(str(tmp_path)), watch)
    end = watch.asked[-1][0]
    errors = [
        (left - (end - moment)) / (end - moment)
        for moment, share, left in watch.asked
        if share >= 0.2 and end - moment > 2
    ]
    print(f"\n{len(watch.asked)} epochs; time left against what it took: {min(errors):+.0%} to {max(errors):+.0%}")
    assert len(errors) > 20
    assert max(map(abs, errors)) < 0.25
