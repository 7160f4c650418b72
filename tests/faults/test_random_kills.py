"""A hundred deaths over one sweep: in memory and drawn in advance, and for real, under Ray and at any time."""

import random
from pathlib import Path

from orchestrator.store import Store
from tests.conftest import small
from tests.faults import engine
from tests.faults.conftest import calm
from tests.faults.deaths import Instants

SWEEP = small(
    schedules={"constant": {}, "late": {"name": "step", "every": 10}, "cosine": {}, "plateau": {"patience": 3}},
    seeds=[0],
    epochs=30,
    data={"name": "digits", "image_size": 32, "limit": 200},
)


def run_until(results: Path, fatal: int) -> None:
    """Run in this process, which dies at the instant `fatal`."""
    Instants(fatal).install()
    engine.run(SWEEP, Store.at(str(results)), workers=3)


def test_a_hundred_deaths_over_one_sweep(memory: Path) -> None:
    results, drawn = memory / "results", random.Random(0)
    deaths = 0
    while engine.in_process(run_until, results, drawn.randrange(20, 120)) == -9:
        deaths += 1
    store = Store.at(str(results))
    print(deaths)
    assert deaths >= 100
    assert engine.numbers(store) == calm(SWEEP, memory)
    engine.assert_whole(SWEEP, store)
