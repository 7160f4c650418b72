"""Which trial may start, who waits for whom, and which checkpoints are still held."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.cluster.capacity import Capacity
from orchestrator.execution.scheduler import Scheduler
from orchestrator.planning import plan
from orchestrator.planning.checkpoint_retention import Retention
from orchestrator.planning.plan import Plan
from orchestrator.spec.sweep import Resources
from orchestrator.spec.trials import Trial
from orchestrator.storage.store import Store
from tests.support.rows import trained
from tests.support.sweeps import small

STEPS = {"constant": {}, "step": {"every": 2, "factor": 0.1}, "late": {"name": "step", "every": 3}}


def planned(store: Store, share: bool = True, **changes: Any) -> Plan:
    document = {"optimizers": {"sgd": {"class": "SGD"}}, "schedules": STEPS, "seeds": [0], "save_best": False}
    return plan.make(small(**{**document, **changes}), store, share=share)


def simulate(planned: Plan, frontier: Scheduler, workers: int, seen: Callable[[str], None]) -> None:
    """Train everything, epoch by epoch in turn, on so many workers."""
    running: list[Trial] = []
    for _ in range(10_000):
        while len(running) < workers and not frontier.exhausted and (trial := frontier.next()):
            running.append(trial)
        if not running:
            return
        trial = running.pop(0)
        record = trained(planned, trial)
        seen(record["epoch_key"])
        frontier.learn(trial.id, record)
        if planned.cursors[trial.id].ending is None:
            running.append(trial)
        else:
            frontier.end(trial.id)
    pytest.fail("the simulation does not come to its end")


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_no_epoch_is_trained_twice_however_many_workers(store: Store, workers: int) -> None:
    full = planned(store, optimizers={"sgd": {"class": "SGD"}, "adam": {"class": "Adam"}}, seeds=[0, 1])
    keys: list[str] = []
    frontier = Scheduler(full)
    simulate(full, frontier, workers, keys.append)
    assert len(keys) == len(set(keys)) == full.epochs.total - 4 * (2 + 3)
    assert all(cursor.ending == "completed" for cursor in full.cursors.values())
    assert frontier.exhausted


def compilations(planned: Plan, workers: int) -> int:
    """How often one of so many workers meets an optimizer for the first time; the longest free goes first."""
    frontier, free = Scheduler(planned), [set[str]() for _ in range(workers)]
    running: list[tuple[Trial, set[str]]] = []
    compiled = 0
    while True:
        while free and not frontier.exhausted and (trial := frontier.next()):
            held = free.pop(0)
            compiled += trial.recipe.optimizer_label not in held
            held.add(trial.recipe.optimizer_label)
            running.append((trial, held))
        if not running:
            return compiled
        trial, held = running.pop(0)
        frontier.learn(trial.id, trained(planned, trial))
        if planned.cursors[trial.id].ending is None:
            running.append((trial, held))
        else:
            frontier.end(trial.id)
            free.append(held)


@pytest.mark.parametrize(("workers", "most"), [(1, 4), (2, 4), (3, 6), (4, 4), (8, 8)])
def test_a_worker_goes_on_with_what_it_has_compiled(store: Store, workers: int, most: int) -> None:
    optimizers = {name.lower(): {"class": name} for name in ("SGD", "Adam", "RMSprop", "Lion")}
    full = planned(store, optimizers=optimizers, schedules={"constant": {}, "cosine": {}}, seeds=[0, 1, 2])
    assert compilations(full, workers) <= most


def test_the_one_with_more_left_starts_first_whatever_is_compiled(store: Store) -> None:
    optimizers = {"sgd": {"class": "SGD"}, "adam": {"class": "Adam"}}
    schedules = {"constant": {}}
    full = planned(store, share=False, optimizers=optimizers, schedules=schedules, grid={"epochs": [2, 3]})
    frontier = Scheduler(full)
    epochs = []
    while trial := frontier.next():
        epochs.append(trial.recipe.settings.epochs)
        frontier.end(trial.id)
    assert epochs == [3, 3, 2, 2]


def test_a_branch_waits_for_its_trunk_and_starts_where_they_part(store: Store) -> None:
    full = planned(store)
    frontier = Scheduler(full)
    trunk = frontier.next()
    assert trunk is not None
    assert frontier.next() is None
    assert not frontier.exhausted
    frontier.learn(trunk.id, trained(full, trunk))
    assert frontier.next() is None
    moved = frontier.learn(trunk.id, trained(full, trunk))
    assert moved[0] == trunk.id
    assert set(moved) == {t.id for t in full.trials}
    branch = frontier.next()
    assert branch is not None
    assert full.cursors[branch.id].resume == 2


def test_a_branch_goes_on_alone_when_its_trunk_fails(store: Store) -> None:
    full = planned(store)
    frontier = Scheduler(full)
    trunk = frontier.next()
    assert trunk is not None
    frontier.learn(trunk.id, trained(full, trunk))
    frontier.end(trunk.id)
    branch = frontier.next()
    assert branch is not None
    assert branch.id != trunk.id
    assert full.cursors[branch.id].resume == 1


def test_without_sharing_nobody_waits_and_everything_is_trained(store: Store) -> None:
    full = planned(store, share=False)
    epochs = full.epochs
    keys: list[str] = []
    frontier = Scheduler(full)
    assert len([frontier.next() for _ in range(3)]) == 3
    frontier = Scheduler(full)
    simulate(full, frontier, 2, keys.append)
    assert len(keys) == epochs.total == epochs.new


def test_only_what_somebody_needs_is_kept(store: Store) -> None:
    full = planned(store)
    frontier, kept = Scheduler(full), set[str]()
    retention = Retention(full)
    by_id = {t.id: t for t in full.trials}
    most = 0
    running: list[Trial] = []
    while True:
        while len(running) < 2 and not frontier.exhausted and (started := frontier.next()):
            running.append(started)
        if not running:
            break
        trial = running.pop(0)
        resume = full.cursors[trial.id].keys[: full.cursors[trial.id].resume]
        assert not resume or resume[-1] in kept
        record = trained(full, trial, accuracy=0.5 - 0.01 * len(full.cursors[trial.id].keys))
        kept.add(record["epoch_key"])
        moved = [by_id[i] for i in frontier.learn(trial.id, record)]
        kept -= retention.update(moved, written={record["epoch_key"]: trial.id}).keys()
        most = max(most, len(kept))
        if full.cursors[trial.id].ending is None:
            running.append(trial)
        else:
            frontier.end(trial.id)
    best = {full.cursors[t.id].keys[0] for t in full.trials}
    last = {full.cursors[t.id].keys[-1] for t in full.trials}
    assert kept == best | last
    assert most <= 2 * len(full.trials)


def test_the_longest_trial_starts_first(store: Store) -> None:
    recipes = [{"optimizer": "sgd", "schedule": "cosine", "epochs": n} for n in (3,)] + [
        {"optimizer": "sgd", "schedule": "constant", "epochs": 9}
    ]
    full = planned(store, recipes=recipes, schedules={"constant": {}, "cosine": {}})
    first = Scheduler(full).next()
    assert first is not None
    assert first.id == "sgd-constant-s0"


def test_the_most_work_starts_first_however_many_epochs_it_is(store: Store) -> None:
    full = planned(
        store,
        recipes=[
            {"optimizer": "sgd", "schedule": "constant", "epochs": 9},
            {"optimizer": "sgd", "schedule": "cosine", "epochs": 3, "model.width": 0.5},
        ],
        schedules={"constant": {}, "cosine": {}},
        trainer="experiments.trainer:Trainer",
    )
    first = Scheduler(full).next()
    assert first is not None
    assert first.recipe.schedule_label == "cosine"


def test_a_branch_that_has_moved_along_gives_way_to_a_trial_with_more_left(store: Store) -> None:
    recipes = [
        {"optimizer": "sgd", "schedule": "constant", "epochs": 9},
        {"optimizer": "sgd", "schedule": "late", "epochs": 9},
        {"optimizer": "sgd", "schedule": "cosine", "epochs": 5},
    ]
    schedules = {"constant": {}, "cosine": {}, "late": {"name": "step", "every": 6}}
    full = planned(store, recipes=recipes, schedules=schedules)
    frontier = Scheduler(full)
    trunk = frontier.next()
    assert trunk is not None
    assert trunk.recipe.schedule_label == "constant"
    for _ in range(6):
        frontier.learn(trunk.id, trained(full, trunk))
    order = [started.recipe.schedule_label for _ in range(2) if (started := frontier.next())]
    assert order == ["cosine", "late"]  # 5 epochs left, and 3


def test_a_trial_for_which_there_is_no_room_lets_a_smaller_one_pass(store: Store) -> None:
    recipes = [
        {"optimizer": "sgd", "schedule": "constant", "epochs": 9, "resources.cpus_per_trial": 4},
        {"optimizer": "sgd", "schedule": "cosine", "epochs": 3},
    ]
    full = planned(store, recipes=recipes, schedules={"constant": {}, "cosine": {}})
    frontier = Scheduler(full)
    places = Capacity(lambda: [{"CPU": 2.0}, {"CPU": 2.0}])
    started = frontier.next(lambda needs, _: needs.cpus_per_trial <= 2)
    assert started is not None
    assert started.recipe.schedule_label == "cosine"
    assert not places.fits(Resources(cpus_per_trial=4), Counter({Resources(): 4}))


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_no_worker_is_idle_while_a_trial_could_start(store: Store, workers: int) -> None:
    full = planned(store, optimizers={"sgd": {"class": "SGD"}, "adam": {"class": "Adam"}}, seeds=[0, 1])
    frontier = Scheduler(full)
    running: list[Trial] = []
    while True:
        while len(running) < workers and (trial := frontier.next()):
            running.append(trial)
        if not running:
            break
        if len(running) < workers:  # then all that wait have their next epoch under way
            under_way = {full.cursors[t.id].frontier for t in running}
            waiting = [t for t in full.trials if frontier.needs_start(t.id)]
            assert {full.cursors[t.id].frontier for t in waiting} <= under_way
        trial = running.pop(0)
        frontier.learn(trial.id, trained(full, trial))
        if full.cursors[trial.id].ending is None:
            running.append(trial)
        else:
            frontier.end(trial.id)
    assert frontier.exhausted


def test_places_follow_the_nodes_that_are_alive() -> None:
    alive = [{"CPU": 2.0}, {"CPU": 1.0, "GPU": 1.0}]
    places = Capacity(lambda: list(alive), every=0.0)
    one, half = Resources(), Resources(gpus_per_trial=0.5)
    assert places.fits(one, Counter({one: 2}))
    assert not places.fits(one, Counter({one: 3}))
    alive.append({"CPU": 1.0})
    assert places.fits(one, Counter({one: 3}))
    assert not places.fits(half, Counter({half: 1}))  # its node has but one core
    del alive[:]
    assert places.fits(one, Counter())  # somebody has to ask for the first node
    assert not places.fits(one, Counter({one: 1}))


def test_where_nodes_are_started_for_what_waits_some_trials_wait() -> None:
    places = Capacity(lambda: [{"CPU": 2.0}], ahead=3)
    one, gpu = Resources(), Resources(gpus_per_trial=1)
    assert places.fits(one, Counter({one: 4}))
    assert not places.fits(one, Counter({one: 5}))
    assert places.fits(gpu, Counter({one: 2}))
    assert not places.fits(gpu, Counter({one: 2, gpu: 1}))
