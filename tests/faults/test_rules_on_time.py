"""A rule that reacts to the epochs so far reacts on time, whichever epoch a run dies before."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from orchestrator.spec.sweep import Sweep
from orchestrator.storage.store import Store
from tests.faults.conftest import calm, forked
from tests.support import engine
from tests.support.fakes import VectorTrainer


class MortalTrainer(VectorTrainer):
    """Its process dies before it trains the epoch that $FATAL_EPOCH names."""

    def epoch(self, n: int, learning_rates: npt.NDArray[np.float32]) -> dict[str, float]:
        """Die, or train."""
        if str(n) == os.environ.get("FATAL_EPOCH"):
            os.kill(os.getpid(), 9)
        return super().epoch(n, learning_rates)


NEVER_BETTER = {"monitor": "val_accuracy", "min_delta": 9.0}
RULES: dict[str, tuple[dict[str, Any], list[float]]] = {
    "plateau": (
        {"schedules": {"plateau": {**NEVER_BETTER, "patience": 2, "factor": 0.1}}},
        [1, 1, 1, 0.1, 0.1, 0.01],
    ),
    "reduce on plateau": (
        {"schedules": {"constant": {}}, "reduce_on_plateau": {**NEVER_BETTER, "patience": 3, "factor": 0.5}},
        [1, 1, 1, 1, 0.5, 0.5],
    ),
    "early stopping": (
        {"schedules": {"constant": {}}, "early_stopping": {**NEVER_BETTER, "patience": 3}},
        [1, 1, 1, 1],
    ),
}


def run_until(sweep: Sweep, results: Path, fatal: int) -> None:
    """Run in this process, which dies before the epoch `fatal`."""
    os.environ["FATAL_EPOCH"] = str(fatal)
    engine.run(sweep, Store.at(str(results)))


@pytest.mark.parametrize("rule", RULES)
def test_it_fires_on_time_after_a_death_before_any_epoch(rule: str, memory: Path) -> None:
    settings, rates = RULES[rule]
    sweep = forked(epochs=6, trainer=f"{__name__}:MortalTrainer", **settings)
    expected = calm(sweep, memory)
    assert [r["learning_rate"] / 0.01 for r in expected] == pytest.approx(rates)
    for fatal in range(len(rates)):
        results = memory / str(fatal)
        assert engine.in_process(run_until, sweep, results, fatal) == -9
        store = Store.at(str(results))
        outcome = engine.run(sweep, store)
        assert engine.numbers(store) == expected, fatal
        assert outcome.trained == len(rates) - fatal
        engine.assert_whole(sweep, store)
