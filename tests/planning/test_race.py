"""Where a race stands, from finals written by hand: who runs, who may run ahead, who left and why it is over."""

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.planning import plan
from orchestrator.planning.epoch_chain import ChainCursor
from orchestrator.planning.plan import Plan
from orchestrator.planning.race import (
    BEHIND,
    DIVERGED,
    EQUIVALENT,
    FAILED,
    MOST,
    ONE_LEFT,
    Leaving,
    RaceState,
    state,
)
from orchestrator.storage.store import Store
from tests.support.sweeps import small

NAMES = "abcd"
GOES_ON, NO_NUMBER, FAILS = None, math.nan, "fails"
Final = float | str | None
"""Of one trial: the monitored metric, NaN where it diverged, FAILS, or None while it goes on."""


@cache
def planned(recipes: int = 4, changes: str = "{}") -> Plan:
    """A race of so many recipes of one epoch, a-constant and so on, against an empty store."""
    document = {"epochs": 1, **json.loads(changes)}
    document["race"] = {"first": 2, "most": 5, **document.get("race", {})}
    optimizers = {
        name: {"class": "SGD", "learning_rate": 0.01 * (n + 1)} for n, name in enumerate(NAMES[:recipes])
    }
    sweep = small(optimizers=optimizers, schedules={"constant": {}}, **document)
    return plan.make(sweep, Store.at(str(Path(mkdtemp()) / "results")))


def race_of(recipes: int, **changes: Any) -> Plan:
    """The same with changes of the sweep."""
    return planned(recipes, json.dumps(changes))


@dataclass
class Records:
    """The finals of a race so far."""

    plan: Plan
    cursors: dict[str, ChainCursor] = field(init=False)
    failed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.cursors = {trial_id: cursor.copy() for trial_id, cursor in self.plan.cursors.items()}

    def add(self, trial_id: str, final: Final) -> None:
        """The trial has ended, or failed."""
        if final == FAILS:
            self.failed.add(trial_id)
        elif final is not None:
            cursor = self.cursors[trial_id]
            while cursor.ending is None:
                metrics = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), float(final))
                cursor.append(cursor.next_key, metrics)

    def state(self) -> RaceState:
        """Where the race stands."""
        race, trials = self.plan.sweep.race, {t.id: t for t in self.plan.all_trials}
        assert race is not None
        return state(
            race, self.plan.sweep.margin, [trials[i] for i in self.plan.cursors], self.cursors, self.failed
        )


def standing(finals: Mapping[str, list[Final]], **changes: Any) -> RaceState:
    """The state by the finals of each recipe, in the order of its seeds."""
    records = Records(race_of(len(finals), **changes))
    for name, values in finals.items():
        for seed, final in enumerate(values):
            records.add(f"{name}-constant-s{seed}", final)
    return records.state()


def ids(**seeds: int) -> frozenset[str]:
    """The ids of the first trials of each recipe."""
    return frozenset(f"{name}-constant-s{seed}" for name, count in seeds.items() for seed in range(count))


def labels(names: str) -> tuple[str, ...]:
    return tuple(f"{name}-constant" for name in names)


def test_before_anything_has_ended_all_get_their_first_seeds() -> None:
    at_start = standing({"a": [], "b": [], "c": []})
    assert at_start.admitted == ids(a=2, b=2, c=2)
    assert at_start.ahead == ("a-constant-s2", "b-constant-s2", "c-constant-s2")
    assert at_start.inside == labels("abc")
    assert (at_start.left, at_start.seeds, at_start.ended, at_start.over) == ({}, 0, {}, False)


def test_nothing_is_decided_before_all_have_their_seeds() -> None:
    waiting = standing({"a": [0.9, 0.91, 0.9], "b": [0.1, 0.11, 0.1], "c": [0.5, None]})
    assert waiting.admitted == ids(a=2, b=2, c=2)
    assert (waiting.left, waiting.seeds) == ({}, 0)
    # The most promising one may run ahead first, also by the seeds that have ended so far.
    assert waiting.ahead == ("a-constant-s2", "c-constant-s2", "b-constant-s2")


def test_who_is_behind_gets_no_more_seeds() -> None:
    after = standing({"a": [0.90, 0.91], "b": [0.91, 0.90], "c": [0.10, 0.11]})
    assert after.left == {"c-constant": Leaving(2, BEHIND, after.left["c-constant"].better)}
    assert after.left["c-constant"].better in labels("ab")
    assert after.admitted == ids(a=3, b=3, c=2)
    assert after.ahead == ("a-constant-s3", "b-constant-s3")
    assert (after.inside, after.seeds, after.over) == (labels("ab"), 2, False)


def test_one_recipe_is_left() -> None:
    after = standing({"a": [0.90, 0.91], "b": [0.10, 0.11], "c": [0.20, 0.20]})
    assert (after.ended, after.over, after.inside) == ({"": ONE_LEFT}, True, labels("a"))
    assert after.admitted == ids(a=2, b=2, c=2)
    assert after.ahead == ()


def test_all_seeds_are_used() -> None:
    even, odd = [0.90, 0.92, 0.90, 0.92], [0.92, 0.90, 0.92, 0.90]
    before = standing({"a": even, "b": odd})
    assert (before.seeds, before.over, before.ahead) == (4, False, ())  # no seed is ahead of the last one
    after = standing({"a": [*even, 0.91], "b": [*odd, 0.91]})
    assert (after.ended, after.seeds) == ({"": MOST}, 5)
    assert after.inside == labels("ab")
    assert after.admitted == ids(a=5, b=5)


@pytest.mark.parametrize("place", ["race", "sweep"])
def test_all_that_are_left_are_equivalent(place: str) -> None:
    finals: dict[str, list[Final]] = {"a": [0.9001, 0.9002, 0.9001], "b": [0.9002, 0.9001, 0.9001]}
    assert not standing(finals).over
    changes: dict[str, Any] = {"race": {"equivalence": 0.01}} if place == "race" else {"equivalence": 0.01}
    after = standing(finals, **changes)
    assert (after.ended, after.inside) == ({"": EQUIVALENT}, labels("ab"))
    assert not standing(finals, equivalence=0.01, race={"equivalence": 0.0}).over


def test_lower_is_better_where_a_loss_is_monitored() -> None:
    after = standing({"a": [0.90, 0.91], "b": [0.10, 0.11], "c": [0.90, 0.90]}, monitor="val_loss")
    assert after.inside == labels("b")


def test_a_recipe_of_which_a_trial_failed_leaves_and_drops_nobody() -> None:
    after = standing({"a": [0.99, FAILS], "b": [0.90, 0.91], "c": [0.91, 0.90]})
    assert after.left == {"a-constant": Leaving(2, FAILED)}
    assert after.admitted == ids(a=2, b=3, c=3)
    later = standing({"a": [0.90, 0.91, FAILS], "b": [0.91, 0.90, 0.91], "c": [0.91, 0.91, 0.90]})
    assert later.left == {"a-constant": Leaving(3, FAILED)}
    assert later.admitted == ids(a=3, b=4, c=4)


def test_a_failure_ahead_of_the_decisions_counts_only_when_they_come_to_it() -> None:
    finals: dict[str, list[Final]] = {"a": [0.90, 0.91, FAILS], "b": [0.91, None], "c": [0.91, 0.91]}
    assert standing(finals).left == {}
    finals["b"] = [0.91, 0.90]
    assert standing(finals).left == {"a-constant": Leaving(3, FAILED)}


def test_a_recipe_that_diverged_with_every_seed_leaves_one_that_did_so_sometimes_stays() -> None:
    finals: dict[str, list[Final]] = {"a": [NO_NUMBER] * 2, "b": [0.90, NO_NUMBER], "c": [0.91, 0.90]}
    after = standing({**finals, "d": [0.90, 0.90]})
    assert after.left == {"a-constant": Leaving(2, DIVERGED)}
    assert after.inside == labels("bcd")


def test_a_recipe_with_a_diverged_seed_drops_nobody() -> None:
    after = standing({"a": [0.9, NO_NUMBER, 0.91], "b": [0.10, 0.11, 0.11], "c": [0.11, 0.10, 0.10]})
    assert after.left == {}


@pytest.mark.parametrize("final", [NO_NUMBER, FAILS])
def test_nobody_is_left_where_all_diverge_or_fail(final: Final) -> None:
    after = standing({name: [final, final] for name in "abc"})
    assert (after.inside, after.over, after.ahead) == ((), True, ())
    assert after.admitted == ids(a=2, b=2, c=2)


def test_the_only_recipe_gets_its_first_seeds_and_is_left() -> None:
    assert not standing({"a": [0.9]}).over
    after = standing({"a": [0.9, 0.91]})
    assert (after.ended, after.admitted) == ({"": ONE_LEFT}, ids(a=2))


def test_a_stopped_trial_has_a_final() -> None:
    stopping = {"monitor": "val_loss", "patience": 1, "min_delta": 100.0}
    race = Records(race_of(2, epochs=9, early_stopping=stopping))
    for trial_id in sorted(race.plan.cursors):
        race.add(trial_id, 0.9 if trial_id.startswith("a") else 0.1 + 0.001 * int(trial_id[-1]))
    assert {cursor.ending for cursor in race.cursors.values()} == {"stopped"}
    assert race.state().inside == labels("a")


def test_recipes_of_different_training_lengths_race_by_themselves() -> None:
    race = Records(race_of(2, grid={"epochs": [1, 3]}))
    short = [i for i in race.plan.cursors if "epochs=1" in i]
    assert race.state().groups == 2
    for trial_id in short:
        race.add(trial_id, {"a": 0.9, "b": 0.1 + 0.001 * int(trial_id[-1])}[trial_id[0]])
    after = race.state()
    assert (after.ended, after.over, after.seeds) == ({"1": ONE_LEFT}, False, 0)
    assert after.inside == ("a-constant-epochs=1", "a-constant-epochs=3", "b-constant-epochs=3")
    assert {i for i in after.admitted if "epochs=3" in i} == {
        f"{name}-constant-epochs=3-s{seed}" for name in "ab" for seed in (0, 1)
    }
    assert all("epochs=3" in i for i in after.ahead)
    for trial_id in set(race.plan.cursors) - set(short):
        race.add(trial_id, {"a": 0.1, "b": 0.9 + 0.001 * int(trial_id[-1])}[trial_id[0]])
    after = race.state()
    assert after.inside == ("a-constant-epochs=1", "b-constant-epochs=3")
    assert after.over


def test_the_listed_seeds_come_first_in_their_order() -> None:
    race = Records(race_of(2, seeds=[7, 3]))
    assert race.state().admitted == {f"{name}-constant-s{seed}" for name in "ab" for seed in (7, 3)}
    assert race.state().ahead == ("a-constant-s0", "b-constant-s0")


FINALS = st.one_of(
    st.sampled_from([NO_NUMBER, FAILS]),
    st.integers(0, 20).map(lambda n: n / 100),
    st.integers(0, 3).map(lambda n: 0.8 + n / 100),
)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    st.lists(st.lists(FINALS, min_size=5, max_size=5), min_size=1, max_size=4),
    st.sampled_from([None, 0.05]),
    st.randoms(use_true_random=False),
)
def test_the_order_in_which_trials_end_decides_nothing(
    finals: list[list[Final]], equivalence: float | None, random: Any
) -> None:
    """Nor does a recipe that left come back, and no trial that was asked for is given up."""
    records = Records(race_of(len(finals), equivalence=equivalence))
    results = {
        f"{name}-constant-s{seed}": final
        for name, row in zip(NAMES, finals, strict=False)
        for seed, final in enumerate(row)
    }
    before = records.state()
    done: set[str] = set()
    while waiting := sorted((before.admitted | set(before.ahead)) - done):
        trial_id = random.choice(waiting)
        done.add(trial_id)
        records.add(trial_id, results[trial_id])
        after = records.state()
        assert before.admitted <= after.admitted
        assert set(after.inside) <= set(before.inside)
        assert before.left.items() <= after.left.items()
        assert set(before.ended.items()) <= set(after.ended.items())
        assert before.seeds <= after.seeds
        assert not (before.over and after.admitted != before.admitted)
        before = after
    assert before.over
    in_order = Records(records.plan)
    while waiting_in_order := sorted(in_order.state().admitted - in_order.failed - _ended(in_order)):
        for trial_id in waiting_in_order:
            in_order.add(trial_id, results[trial_id])
    assert in_order.state() == before
    whole = Records(records.plan)
    for trial_id, final in results.items():
        whole.add(trial_id, final)
    assert whole.state() == before


def _ended(records: Records) -> set[str]:
    return {trial_id for trial_id, cursor in records.cursors.items() if cursor.ending is not None}


def test_every_recipe_is_in_or_has_left() -> None:
    for finals in itertools.product([0.9, 0.1, NO_NUMBER, FAILS], repeat=3):
        after = standing({name: [final] * 2 for name, final in zip("abc", finals, strict=True)})
        assert sorted([*after.inside, *after.left]) == list(labels("abc"))
