"""Races that run: they decide by the records alone, whoever trains, in whatever order, and whatever dies."""

import json
import os
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from orchestrator.planning import plan
from orchestrator.planning import race as races
from orchestrator.planning.plan import Plan
from orchestrator.planning.race import FAILED, RaceState
from orchestrator.spec.sweep import Sweep
from orchestrator.storage.store import Store
from tests.faults import test_sweeps_together as sweeps_together
from tests.faults.conftest import MEMORY, memory
from tests.support import engine
from tests.support.command import command
from tests.support.deaths import Instants
from tests.support.fakes import VectorTrainer
from tests.support.nodes import nodes
from tests.support.runs import run
from tests.support.silent import Silent
from tests.support.sweeps import small, written

__all__ = ["memory"]
RATES = {"low": 0.0001, "near": 0.011, "best": 0.0115, "big": 0.05}
SETTINGS: dict[str, Any] = {
    "optimizers": {
        **{name: {"class": "SGD", "learning_rate": rate} for name, rate in RATES.items()},
        "adam": {"class": "Adam", "learning_rate": 0.02},
    },
    "schedules": {"constant": {}, "late": {"name": "step", "every": 2}},
    "epochs": 3,
    "race": {"first": 3, "most": 8},
}
"""Ten recipes, two by two with a common beginning."""


def race(**changes: Any) -> Sweep:
    """The race of ten recipes, with changes."""
    return small(**{**SETTINGS, **changes})


def grid(**changes: Any) -> Sweep:
    """The whole grid of the same recipes, with all the seeds that the race may use."""
    return race(**{"race": None, "seeds": list(range(8)), **changes})


def decisions(sweep: Sweep, store: Store) -> RaceState:
    """The race as it stands in the store."""
    state = plan.make(sweep, store).race
    assert state is not None
    return state


def admitted(sweep: Sweep, store: Store) -> list[dict[str, Any]]:
    """The histories of the trials that the race asks for, without what depends on when they were trained."""
    asked_for = decisions(sweep, store).admitted
    return [row for row in engine.numbers(store, sweep.name) if row["trial_id"] in asked_for]


@pytest.fixture
def store(memory: Path) -> Store:
    """An empty store in memory: every write is synced."""
    return Store.at(str(memory / "results"))


@pytest.fixture(scope="module")
def calm() -> Iterator[Store]:
    """A store with the race, run by one worker that nothing disturbs."""
    with TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        store = Store.at(f"{folder}/results")
        engine.run(race(), store)
        yield store


def assert_same(sweep: Sweep, store: Store, calm: Store) -> Plan:
    """Both stores have the same decisions and the same numbers in what they ask for; nothing is left to do."""
    after = plan.make(sweep, store)
    assert after.race is not None
    assert after.race.over
    assert after.race == decisions(sweep, calm)
    assert after.unfinished == ()
    assert repr(admitted(sweep, store)) == repr(admitted(sweep, calm))  # no NaN is equal to another
    return after


def assert_nothing_left_behind(after: Plan, store: Store) -> None:
    """Histories, models and checkpoints are those of the trials; one in reserve holds what it could go on from."""
    rows = [(row["trial_id"], row["epoch"]) for row in engine.numbers(store)]
    assert rows == sorted((t.id, epoch) for t in after.trials for epoch in range(len(after.cursors[t.id].keys)))
    assert set(store.models("small")) == {t.id for t in after.trials}
    needed, held = (
        {key for t in trials for key in after.cursors[t.id].needed(t.recipe.settings.monitor)}
        for trials in (after.trials, after.all_trials)
    )
    assert needed <= store.checkpoints.complete() <= held
    assert len(store.files.names("checkpoints")) == 2 * len(store.checkpoints.complete())
    assert store.files.temporaries() == []


def test_the_race_drops_recipes_and_ends(calm: Store) -> None:
    after = plan.make(race(), calm)
    assert after.race is not None
    assert after.race.over
    assert {"low-constant", "low-late"} <= after.race.left.keys()
    assert after.race.inside
    assert {t.id for t in after.trials} == after.race.admitted
    assert 30 < len(after.trials) < 80
    assert {c.ending for i, c in after.cursors.items() if i in after.race.admitted} == {"completed"}
    engine.assert_whole(race(), calm)


def test_the_records_of_the_whole_grid_give_the_same_decisions(store: Store, calm: Store) -> None:
    engine.run(grid(), store, workers=3)
    whole = plan.make(race(), store)
    settings = race().race
    assert settings is not None
    order = {t.id: t for t in whole.all_trials}
    from_records = races.state(settings, None, [order[i] for i in whole.cursors], whole.cursors)
    assert from_records == whole.race == decisions(race(), calm)


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 30])
def test_so_many_workers_make_the_same_decisions(store: Store, calm: Store, workers: int) -> None:
    listener = Silent()
    outcome = engine.run(race(), store, workers=workers, listener=listener)
    after = assert_same(race(), store, calm)
    assert after.race is not None
    assert outcome.trained == len({key for t in after.all_trials for key in after.cursors[t.id].keys})
    assert outcome.recomputed == 0
    assert_nothing_left_behind(after, store)
    ahead = {t.id for t in after.trials} - after.race.admitted
    assert len(ahead) <= workers - 1 + 2 * (workers > 1)  # and who shares their epochs
    assert set(listener.endings) == {t.id for t in after.trials}
    messages = [m for m in listener.messages if "leaves the race" in m]
    assert sorted(m.split()[0] for m in messages) == sorted(after.race.left)
    assert [m for m in listener.messages if "the race is over" in m] == [
        f"the race is over after {after.race.seeds} seeds: {after.race.ended['']}"
    ]


def test_a_second_run_trains_nothing(store: Store, calm: Store) -> None:
    engine.run(race(), store, workers=3)
    before = engine.numbers(store)
    outcome = engine.run(race(), store, workers=8)
    assert outcome.trained == 0
    assert engine.numbers(store) == before
    assert_same(race(), store, calm)


def test_the_whole_grid_afterwards_takes_all_that_the_race_has_trained(store: Store, calm: Store) -> None:
    raced = engine.run(race(), store, workers=2)
    outcome = engine.run(grid(), store, workers=2)
    # Two recipes have two of three epochs in common. What has left has no checkpoint where they part.
    assert raced.trained + outcome.trained - outcome.recomputed == 5 * 8 * (2 + 1 + 1)
    assert outcome.recomputed < 40
    engine.assert_whole(grid(), store)


@pytest.mark.parametrize("name", ["small", "other"])
def test_a_race_on_top_of_the_whole_grid_trains_nothing(store: Store, calm: Store, name: str) -> None:
    engine.run(grid(name=name), store, workers=2)
    outcome = engine.run(race(), store)
    assert outcome.trained == 0
    assert decisions(race(), store) == decisions(race(), calm)
    assert plan.make(race(), store).unfinished == ()
    raced = {t.id for t in plan.make(race(), store).trials}
    assert {row["trial_id"] for row in engine.numbers(store)} == raced


@pytest.mark.parametrize("save_best", [True, False])
@pytest.mark.parametrize("workers", [1, 4])
def test_what_another_sweep_has_trained_is_taken_when_it_is_asked_for(
    store: Store, calm: Store, save_best: bool, workers: int
) -> None:
    """The race's first seeds are new, the later ones are known."""
    others = grid(name="other", seeds=[3, 4, 5, 6])
    engine.run(others, store)
    listener = Silent()
    outcome = engine.run(race(save_best=save_best), store, workers=workers, listener=listener)
    after = plan.make(race(save_best=save_best), store)
    assert after.race == decisions(race(), calm)
    assert after.unfinished == ()
    ran = {t.id for t in after.trials if t.seed not in (3, 4, 5, 6)}
    assert outcome.trained == len({key for i in ran for key in after.cursors[i].keys})
    assert {row["trial_id"] for row in engine.numbers(store)} == {t.id for t in after.trials}
    assert set(listener.endings) == {t.id for t in after.trials}
    assert set(store.models("small")) == ({t.id for t in after.trials} if save_best else set())


def test_with_more_seeds_and_recipes_the_race_goes_on_from_what_it_has(store: Store) -> None:
    first = engine.run(race(race={"first": 3, "most": 4}), store, workers=2)
    second = engine.run(race(), store, workers=2)
    known = plan.make(race(), store)
    assert known.unfinished == ()
    assert first.trained + second.trained == len(known.known)


@pytest.mark.parametrize("workers", [1, 4])
def test_without_sharing_every_trial_trains_by_itself(store: Store, calm: Store, workers: int) -> None:
    outcome = engine.run(race(), store, workers=workers, share=False)
    after = assert_same(race(), store, calm)
    assert outcome.trained == 3 * len(after.trials)


class UnluckyTrainer(VectorTrainer):
    """Fails with seed 3 at the rate 0.0115, as long as there is no file called luck in $DEATHS."""

    def epoch(self, n: int, learning_rates: npt.NDArray[np.float32]) -> dict[str, float]:
        """Fail, or train."""
        assert self.job is not None
        rate = self.job.optimizer.learning_rate
        if self.job.seed == 3 and rate == RATES["best"] and not (Path(os.environ["DEATHS"]) / "luck").exists():
            raise RuntimeError("the weights caught fire")
        return super().epoch(n, learning_rates)


@pytest.mark.usefixtures("ray_session")
def test_the_recipe_of_a_failed_trial_gets_no_more_seeds_and_the_race_goes_on(
    memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    three = {name: {"class": "SGD", "learning_rate": RATES[name]} for name in ("near", "best", "big")}
    changes: dict[str, Any] = {"optimizers": three, "schedules": {"constant": {}}, "epochs": 2}
    sweep = race(**changes, trainer=f"{__name__}:UnluckyTrainer", retries=0)
    results = memory / "results"
    file, store = written(memory, **sweep.document), Store.at(str(results))
    for _ in range(2):
        code, out, _ = command("run", file, "--results", results, "--json", capture=capsys)
        assert code == 1
        assert json.loads(out)["trials"]["failed"] == 1
        after = plan.make(sweep, store)
        assert after.race is not None
        assert after.race.over
        assert after.race.left["best-constant"] == races.Leaving(4, FAILED)
        assert {f"best-constant-s{n}" for n in range(4)} <= after.race.admitted
        assert not {f"best-constant-s{n}" for n in range(4, 8)} & after.race.admitted
        assert after.race.seeds > 4
        assert [t.id for t in after.unfinished] == ["best-constant-s3"]
    code, out, _ = command("status", file, "--results", results, "--json", capture=capsys)
    assert json.loads(out)["trials"]["failed"] == 1
    luck = Path(os.environ["DEATHS"]) / "luck"
    luck.touch()
    try:
        code, _, _ = command("run", file, "--results", results, "--json", capture=capsys)
    finally:
        luck.unlink()
    assert code == 0
    calm = Store.at(str(memory / "calm"))
    engine.run(race(**changes), calm)
    assert decisions(sweep, store) == decisions(race(**changes), calm)


@pytest.mark.parametrize(("trainer", "workers"), [("DivergingTrainer", 4), ("BoundlessTrainer", 2)])
def test_a_diverged_seed_makes_a_recipe_unreliable_and_does_not_stop_the_race(
    store: Store, memory: Path, trainer: str, workers: int
) -> None:
    sweep, calm = race(trainer=f"tests.support.fakes:{trainer}"), Store.at(str(memory / "calm"))
    engine.run(sweep, calm)
    engine.run(sweep, store, workers=workers)
    after = assert_same(sweep, store, calm)
    assert after.race is not None
    assert after.race.left == {}  # seed 1 of every recipe diverged: nobody may drop another
    assert len(after.race.admitted) == 80


@pytest.mark.parametrize("workers", [1, 4])
def test_stopped_trials_are_compared_by_where_they_stopped(store: Store, memory: Path, workers: int) -> None:
    stopping = {"monitor": "val_loss", "patience": 1, "min_delta": 0.2}
    sweep, calm = race(early_stopping=stopping, epochs=6), Store.at(str(memory / "calm"))
    engine.run(sweep, calm)
    engine.run(sweep, store, workers=workers)
    after = assert_same(sweep, store, calm)
    assert "stopped" in {cursor.ending for cursor in after.cursors.values()}


def test_plateaus_and_lengths_race_too(store: Store, memory: Path) -> None:
    changes: dict[str, Any] = {
        "schedules": {"constant": {}, "plateau": {"monitor": "val_accuracy", "patience": 1, "min_delta": 9}},
        "grid": {"epochs": [3, 5]},
    }
    sweep, calm = race(**changes), Store.at(str(memory / "calm"))
    engine.run(sweep, calm)
    engine.run(sweep, store, workers=5)
    after = assert_same(sweep, store, calm)
    assert after.race is not None
    assert set(after.race.ended) == {"3", "5"}


@pytest.mark.usefixtures("ray_session")
def test_the_same_race_under_ray(store: Store, calm: Store) -> None:
    outcome, after = run(race(), store)
    assert after.race == decisions(race(), calm)
    assert outcome.failed == {}
    assert_same(race(), store, calm)
    again, _ = run(race(), store)
    assert again.trained == 0


@pytest.mark.heavy
@pytest.mark.parametrize("cpus", [2, 8])
def test_the_same_race_on_more_cores_under_ray(memory: Path, calm: Store, cpus: int) -> None:
    """Takes half a minute: a Ray of its own, with so many workers."""
    file = written(memory, **race(trainer="tests.support.fakes:SlowTrainer").document)
    with nodes(memory, head_cpus=cpus) as cluster:
        done = cluster.sweep("run", file, "--results", memory / "results", "--address", cluster.address)
        _, err = done.communicate(timeout=300)
    assert done.returncode == 0, err
    slow, store = race(trainer="tests.support.fakes:SlowTrainer"), Store.at(str(memory / "results"))
    state = decisions(slow, store)
    assert state == decisions(race(), calm)
    numbers = [{k: v for k, v in row.items() if k != "epoch_key"} for row in admitted(slow, store)]
    assert numbers == [{k: v for k, v in row.items() if k != "epoch_key"} for row in admitted(race(), calm)]


def run_until(results: Path, workers: int, fatal: int) -> None:
    """Run the race in this process, which dies at the instant `fatal`."""
    Instants(fatal).install()
    engine.run(race(), Store.at(str(results)), workers=workers)


def killed(memory: Path, calm: Store, seed: int) -> int:
    """Run the race to its end through kills at random instants, with another number of workers each time."""
    drawn, deaths = random.Random(seed), 0
    results = memory / f"results-{seed}"
    while engine.in_process(run_until, results, drawn.choice((1, 3, 8)), drawn.randrange(20, 1500)) == -9:
        deaths += 1
        assert deaths < 500, "no progress is made"
    assert_same(race(), Store.at(str(results)), calm)
    return deaths


def test_a_killed_race_goes_on_to_the_same_decisions(memory: Path, calm: Store) -> None:
    assert killed(memory, calm, 0) >= 2


@pytest.mark.heavy
def test_races_killed_a_hundred_times_go_on_to_the_same_decisions(memory: Path, calm: Store) -> None:
    """Takes minutes."""
    deaths, seed = 0, 0
    while deaths < 100:
        seed += 1
        deaths += killed(memory, calm, seed)


def die_once(drawn: int, deaths: int) -> None:
    """In a worker: the first three of them die, each at another instant."""
    Instants(None if deaths >= 3 else drawn * (deaths + 1)).install()


@pytest.mark.parametrize("fatal", [7, 40, 133])
def test_killed_workers_change_no_decision(memory: Path, calm: Store, fatal: int) -> None:
    store = Store.at(str(memory / "results"))
    with engine.worker(partial(die_once, fatal)) as (workers, begin):
        outcome = engine.run(race(), store, begin=begin)
        assert workers[0].deaths == 3
    assert outcome.failed == {}
    assert_same(race(), store, calm)


@pytest.mark.parametrize("first", ["race", "grid"])
def test_a_race_and_the_whole_grid_at_once_train_no_epoch_twice(memory: Path, calm: Store, first: str) -> None:
    trainer = {"trainer": f"{sweeps_together.__name__}:LoggingTrainer"}
    sweeps = [race(name="race", **trainer), grid(name="grid", **trainer)]
    results = memory / "results"
    os.environ["PACE"] = "0.02"
    try:
        running = sweeps_together.together(results, sweeps if first == "race" else sweeps[::-1], workers=3)
        for process in running:
            process.join(120)
    finally:
        del os.environ["PACE"]
    assert [process.exitcode for process in running] == [0, 0]
    assert [line for line, count in sweeps_together.trained(results).items() if count > 1] == []
    store = Store.at(str(results))
    assert decisions(sweeps[0], store) == decisions(race(), calm)
    assert [plan.make(sweep, store).unfinished for sweep in sweeps] == [(), ()]
