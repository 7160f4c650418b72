"""Which trial may start, who waits for whom, and which checkpoints are still held."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from experiments.callbacks import METRICS
from orchestrator.cluster.capacity import Capacity
from orchestrator.execution.scheduler import Scheduler
from orchestrator.planning import plan
from orchestrator.planning.checkpoint_retention import Retention
from orchestrator.planning.plan import Plan
from orchestrator.planning.race import RaceState
from orchestrator.spec.sweep import Resources
from orchestrator.spec.trials import Trial
from orchestrator.storage.store import Store
from tests.support.rows import trained
from tests.support.sweeps import small

STEPS = {"constant": {}, "step": {"every": 2, "factor": 0.1}, "late": {"name": "step", "every": 3}}


def planned(store: Store, share: bool = True, **changes: Any) -> Plan:
    document: dict[str, Any] = {
        "optimizers": {"sgd": {"class": "SGD"}},
        "schedules": STEPS,
        "seeds": [0],
        "save_best": False,
    }
    return plan.make(small(**{**document, **changes}), store, share=share)


def simulate(scheduler: Scheduler, workers: int, record_key: Callable[[str], None]) -> None:
    """Train everything, epoch by epoch in turn, on so many workers."""
    running: list[Trial] = []
    for _ in range(10_000):
        while len(running) < workers and not scheduler.exhausted and (trial := scheduler.next()):
            running.append(trial)
        if not running:
            return
        trial = running.pop(0)
        record = trained(scheduler.cursors, trial)
        record_key(record["epoch_key"])
        scheduler.learn(trial.id, record)
        if scheduler.cursors[trial.id].ending is None:
            running.append(trial)
        else:
            scheduler.end(trial.id)
    pytest.fail("the simulation does not come to its end")


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_no_epoch_is_trained_twice_however_many_workers(store: Store, workers: int) -> None:
    full = planned(store, optimizers={"sgd": {"class": "SGD"}, "adam": {"class": "Adam"}}, seeds=[0, 1])
    keys: list[str] = []
    scheduler = Scheduler(full)
    simulate(scheduler, workers, keys.append)
    assert len(keys) == len(set(keys)) == full.epochs.total - 4 * (2 + 3)
    assert all(cursor.ending == "completed" for cursor in scheduler.cursors.values())
    assert scheduler.exhausted


def compilations(planned: Plan, workers: int) -> int:
    """How often one of so many workers meets an optimizer for the first time; the longest free goes first."""
    scheduler, free = Scheduler(planned), [set[str]() for _ in range(workers)]
    running: list[tuple[Trial, set[str]]] = []
    compiled = 0
    while True:
        while free and not scheduler.exhausted and (trial := scheduler.next()):
            held = free.pop(0)
            compiled += trial.recipe.optimizer_label not in held
            held.add(trial.recipe.optimizer_label)
            running.append((trial, held))
        if not running:
            return compiled
        trial, held = running.pop(0)
        scheduler.learn(trial.id, trained(scheduler.cursors, trial))
        if scheduler.cursors[trial.id].ending is None:
            running.append((trial, held))
        else:
            scheduler.end(trial.id)
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
    scheduler = Scheduler(full)
    epochs = []
    while trial := scheduler.next():
        epochs.append(trial.recipe.settings.epochs)
        scheduler.end(trial.id)
    assert epochs == [3, 3, 2, 2]


def test_a_branch_waits_for_its_trunk_and_starts_where_they_part(store: Store) -> None:
    full = planned(store)
    scheduler = Scheduler(full)
    trunk = scheduler.next()
    assert trunk is not None
    assert scheduler.next() is None
    assert not scheduler.exhausted
    scheduler.learn(trunk.id, trained(scheduler.cursors, trunk))
    assert scheduler.next() is None
    moved = scheduler.learn(trunk.id, trained(scheduler.cursors, trunk))
    assert moved[0] == trunk.id
    assert set(moved) == {t.id for t in full.trials}
    branch = scheduler.next()
    assert branch is not None
    assert scheduler.cursors[branch.id].resume == 2


def test_a_branch_goes_on_alone_when_its_trunk_fails(store: Store) -> None:
    full = planned(store)
    scheduler = Scheduler(full)
    trunk = scheduler.next()
    assert trunk is not None
    scheduler.learn(trunk.id, trained(scheduler.cursors, trunk))
    scheduler.end(trunk.id)
    branch = scheduler.next()
    assert branch is not None
    assert branch.id != trunk.id
    assert scheduler.cursors[branch.id].resume == 1


def test_without_sharing_nobody_waits_and_everything_is_trained(store: Store) -> None:
    full = planned(store, share=False)
    epochs = full.epochs
    keys: list[str] = []
    scheduler = Scheduler(full)
    assert len([scheduler.next() for _ in range(3)]) == 3
    scheduler = Scheduler(full)
    simulate(scheduler, 2, keys.append)
    assert len(keys) == epochs.total == epochs.new


def test_only_what_somebody_needs_is_kept(store: Store) -> None:
    full = planned(store)
    scheduler, kept = Scheduler(full), set[str]()
    retention = Retention(full, scheduler.cursors)
    by_id = {t.id: t for t in full.trials}
    most = 0
    running: list[Trial] = []
    while True:
        while len(running) < 2 and not scheduler.exhausted and (started := scheduler.next()):
            running.append(started)
        if not running:
            break
        trial = running.pop(0)
        resume = scheduler.cursors[trial.id].keys[: scheduler.cursors[trial.id].resume]
        assert not resume or resume[-1] in kept
        record = trained(scheduler.cursors, trial, accuracy=0.5 - 0.01 * len(scheduler.cursors[trial.id].keys))
        kept.add(record["epoch_key"])
        moved = [by_id[i] for i in scheduler.learn(trial.id, record)]
        kept -= retention.update(moved, written={record["epoch_key"]: trial.id}).keys()
        most = max(most, len(kept))
        if scheduler.cursors[trial.id].ending is None:
            running.append(trial)
        else:
            scheduler.end(trial.id)
    best = {scheduler.cursors[t.id].keys[0] for t in full.trials}
    last = {scheduler.cursors[t.id].keys[-1] for t in full.trials}
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
    scheduler = Scheduler(full)
    trunk = scheduler.next()
    assert trunk is not None
    assert trunk.recipe.schedule_label == "constant"
    for _ in range(6):
        scheduler.learn(trunk.id, trained(scheduler.cursors, trunk))
    order = [started.recipe.schedule_label for _ in range(2) if (started := scheduler.next())]
    assert order == ["cosine", "late"]  # 5 epochs left, and 3


def test_a_trial_for_which_there_is_no_room_lets_a_smaller_one_pass(store: Store) -> None:
    recipes = [
        {"optimizer": "sgd", "schedule": "constant", "epochs": 9, "resources.cpus_per_trial": 4},
        {"optimizer": "sgd", "schedule": "cosine", "epochs": 3},
    ]
    full = planned(store, recipes=recipes, schedules={"constant": {}, "cosine": {}})
    scheduler = Scheduler(full)
    capacity = Capacity(lambda: [{"CPU": 2.0}, {"CPU": 2.0}])
    started = scheduler.next(lambda needs, _: needs.cpus_per_trial <= 2)
    assert started is not None
    assert started.recipe.schedule_label == "cosine"
    assert not capacity.fits(Resources(cpus_per_trial=4), Counter({Resources(): 4}))


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_no_worker_is_idle_while_a_trial_could_start(store: Store, workers: int) -> None:
    full = planned(store, optimizers={"sgd": {"class": "SGD"}, "adam": {"class": "Adam"}}, seeds=[0, 1])
    scheduler = Scheduler(full)
    running: list[Trial] = []
    while True:
        while len(running) < workers and (trial := scheduler.next()):
            running.append(trial)
        if not running:
            break
        if len(running) < workers:  # then all that wait have their next epoch under way
            under_way = {scheduler.cursors[t.id].training_key for t in running}
            waiting = [t for t in full.trials if scheduler.waits(t.id)]
            assert {scheduler.cursors[t.id].training_key for t in waiting} <= under_way
        trial = running.pop(0)
        scheduler.learn(trial.id, trained(scheduler.cursors, trial))
        if scheduler.cursors[trial.id].ending is None:
            running.append(trial)
        else:
            scheduler.end(trial.id)
    assert scheduler.exhausted


def test_places_follow_the_nodes_that_are_alive() -> None:
    alive = [{"CPU": 2.0}, {"CPU": 1.0, "GPU": 1.0}]
    capacity = Capacity(lambda: list(alive), interval=0.0)
    one, half = Resources(), Resources(gpus_per_trial=0.5)
    assert capacity.fits(one, Counter({one: 2}))
    assert not capacity.fits(one, Counter({one: 3}))
    alive.append({"CPU": 1.0})
    assert capacity.fits(one, Counter({one: 3}))
    assert not capacity.fits(half, Counter({half: 1}))  # its node has but one core
    del alive[:]
    assert capacity.fits(one, Counter())  # somebody has to ask for the first node
    assert not capacity.fits(one, Counter({one: 1}))


def test_where_nodes_are_started_for_what_waits_some_trials_wait() -> None:
    capacity = Capacity(lambda: [{"CPU": 2.0}], queue=3)
    one, gpu = Resources(), Resources(gpus_per_trial=1)
    assert capacity.fits(one, Counter({one: 4}))
    assert not capacity.fits(one, Counter({one: 5}))
    assert capacity.fits(gpu, Counter({one: 2}))
    assert not capacity.fits(gpu, Counter({one: 2, gpu: 1}))


TWO = {
    "optimizers": {"a": {"class": "SGD", "learning_rate": 0.1}, "b": {"class": "SGD", "learning_rate": 0.2}},
    "schedules": {"constant": {}},
    "race": {"first": 2, "most": 5},
}


def raced(store: Store, **changes: Any) -> tuple[Plan, Scheduler]:
    """A race of two recipes, and its scheduler, which follows what the plan says."""
    full = planned(store, **{**TWO, **changes})
    scheduler = Scheduler(full)
    assert full.race is not None
    entered = scheduler.follow(full.race, set)
    assert entered == ["a-constant-s2", "b-constant-s2"]
    assert scheduler.follow(full.race, set) == []
    return full, scheduler


def goes_on(full: Plan, admitted: str, ahead: str = "", ended: str = "") -> RaceState:
    """The race of `full` when it asks for these trials: a0 is seed 0 of recipe a."""
    assert full.race is not None
    names = [[f"{name[0]}-constant-s{name[1]}" for name in part.split()] for part in (admitted, ahead)]
    ends = {"": ended} if ended else {}
    return replace(full.race, admitted=frozenset(names[0]), ahead=tuple(names[1]), ended=ends)


def started(scheduler: Scheduler) -> list[str]:
    """All that may start now, in their order, as in `goes_on`."""
    result = []
    while trial := scheduler.next():
        result.append(trial.id[0] + trial.id[-1])
    return result


def finish(scheduler: Scheduler, full: Plan, names: str) -> None:
    """These running trials train all their epochs, and end."""
    by_id = {t.id: t for t in full.all_trials}
    for name in names.split():
        trial = by_id[f"{name[0]}-constant-s{name[1]}"]
        while scheduler.cursors[trial.id].ending is None:
            scheduler.learn(trial.id, trained(scheduler.cursors, trial))
        scheduler.end(trial.id)


FIRST = "a0 b0 a1 b1"


def test_trials_ahead_of_a_race_start_when_no_other_can(store: Store) -> None:
    full, scheduler = raced(store)
    assert [t.id for t in full.reserve] == [f"{name}-constant-s{seed}" for name in "ab" for seed in (2, 3, 4)]
    assert sorted(started(scheduler)[:4]) == sorted(FIRST.split())


def test_only_the_next_seed_of_a_recipe_starts_ahead(store: Store) -> None:
    full, scheduler = raced(store)
    assert sorted(started(scheduler)[4:]) == ["a2", "b2"]
    assert not scheduler.exhausted
    finish(scheduler, full, f"{FIRST} a2 b2")
    assert scheduler.exhausted


def test_a_trial_ahead_starts_last_although_it_has_the_most_work(store: Store) -> None:
    """Recipe b has three epochs already: what is left of it is less than a trial of its own."""
    full, scheduler = raced(store)
    by_id = {t.id: t for t in full.all_trials}
    first = scheduler.next()
    assert first is not None
    for _ in range(3):
        scheduler.learn(first.id, trained(scheduler.cursors, by_id[first.id]))
    assert [name in FIRST for name in started(scheduler)] == [True, True, True, False, False]


def test_a_trial_ahead_that_waits_is_withdrawn_when_the_race_decides_against_it(store: Store) -> None:
    full, scheduler = raced(store)
    running = [scheduler.next() for _ in range(4)]
    assert all(trial is not None and trial.id in full.race.admitted for trial in running if full.race)
    finish(scheduler, full, FIRST)
    assert not scheduler.exhausted
    assert scheduler.follow(goes_on(full, f"{FIRST} a2", "a3"), set) == ["a-constant-s3"]
    assert not scheduler.waits("b-constant-s2")
    assert started(scheduler) == ["a2", "a3"]


def test_a_withdrawn_trial_may_be_asked_for_later(store: Store) -> None:
    full, scheduler = raced(store)
    [scheduler.next() for _ in range(4)]
    finish(scheduler, full, FIRST)
    assert scheduler.follow(goes_on(full, f"{FIRST} a2"), set) == []
    assert scheduler.follow(goes_on(full, f"{FIRST} a2 b2"), set) == ["b-constant-s2"]
    assert sorted(started(scheduler)) == ["a2", "b2"]


def test_a_trial_ahead_that_is_asked_for_waits_in_line_with_the_others(store: Store) -> None:
    full, scheduler = raced(store)
    [scheduler.next() for _ in range(4)]
    finish(scheduler, full, FIRST)
    state = goes_on(full, f"{FIRST} a2 b2", "a3 b3")
    assert scheduler.follow(state, set) == ["a-constant-s3", "b-constant-s3"]
    assert scheduler.follow(state, set) == []
    order = started(scheduler)
    assert (sorted(order[:2]), sorted(order[2:])) == (["a2", "b2"], ["a3", "b3"])


def test_a_trial_that_runs_ahead_goes_on_when_it_is_asked_for_and_when_it_is_not(store: Store) -> None:
    full, scheduler = raced(store)
    started(scheduler)
    finish(scheduler, full, FIRST)
    assert scheduler.follow(goes_on(full, f"{FIRST} a2", "a3"), set) == ["a-constant-s3"]
    assert set(scheduler.computing) == {"a-constant-s2", "b-constant-s2"}
    assert started(scheduler) == ["a3"]
    finish(scheduler, full, "b2 a2 a3")


def test_a_run_goes_on_while_a_race_may_ask_for_more_and_ends_with_it(store: Store) -> None:
    full, scheduler = raced(store)
    started(scheduler)
    assert not scheduler.exhausted  # nothing waits, but what runs may decide that more is needed
    finish(scheduler, full, FIRST)
    assert not scheduler.exhausted
    assert scheduler.follow(goes_on(full, FIRST, ended="one recipe is left"), set) == []
    assert scheduler.exhausted  # what still runs ahead is waited for by whoever runs it
    finish(scheduler, full, "a2 b2")
    assert started(scheduler) == []


def test_what_is_known_of_a_trial_in_reserve_is_taken_when_it_is_asked_for(store: Store) -> None:
    full, scheduler = raced(store)
    by_id = {t.id: t for t in full.all_trials}
    other = {i: cursor.copy() for i, cursor in scheduler.cursors.items()}
    rows = []
    for _ in range(4):
        rows.append(trained(other, by_id["a-constant-s2"]))
        other["a-constant-s2"].append(rows[-1]["epoch_key"], {m: rows[-1][m] for m in METRICS})
    started_first = [scheduler.next() for _ in range(4)]
    assert len(started_first) == 4
    scheduler.follow(goes_on(full, FIRST), set)  # nothing ahead any more
    scheduler.discover(rows[:2], set)
    keys = {row["epoch_key"] for row in rows[:2]}
    assert scheduler.follow(goes_on(full, f"{FIRST} a2"), lambda: keys) == ["a-constant-s2"]
    assert scheduler.cursors["a-constant-s2"].resume == 2
    assert scheduler.waits("a-constant-s2")


@pytest.mark.parametrize("save_best", [True, False])
def test_a_trial_in_reserve_that_has_ended_elsewhere_runs_only_for_its_best_model(
    store: Store, save_best: bool
) -> None:
    full, scheduler = raced(store, save_best=save_best)
    by_id = {t.id: t for t in full.all_trials}
    other = {i: cursor.copy() for i, cursor in scheduler.cursors.items()}
    rows = []
    for _ in range(4):
        rows.append(trained(other, by_id["a-constant-s2"]))
        other["a-constant-s2"].append(rows[-1]["epoch_key"], {m: rows[-1][m] for m in METRICS})
    scheduler.follow(goes_on(full, FIRST), set)
    scheduler.discover(rows, set)
    keys = {row["epoch_key"] for row in rows}
    assert scheduler.follow(goes_on(full, f"{FIRST} a2"), lambda: keys) == ["a-constant-s2"]
    assert scheduler.cursors["a-constant-s2"].ending == "completed"
    assert scheduler.waits("a-constant-s2") == save_best


def test_without_a_race_nothing_is_in_reserve(store: Store) -> None:
    full = planned(store)
    assert (full.race, full.reserve, full.may_run, full.all_trials) == (None, (), full.unfinished, full.trials)
