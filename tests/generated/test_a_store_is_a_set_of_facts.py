"""Runs, deaths, changes and cleanings in one results folder, drawn at random: all laws hold after each of them.

A store is a set of facts: what was trained is known, whoever asks and whatever died meanwhile. The long run draws
as many sequences as GENERATED_CASES says, others each time; the one under Ray starts real runs.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from experiments import callbacks
from tests.faults.conftest import MEMORY
from tests.generated.engines import CommandLine
from tests.generated.facts import Clean, CorruptFile, Operation, Run, Together, play, script

CASES = 25
HEAVY = int(os.environ.get("GENERATED_CASES", "500"))
NAMES = st.sampled_from(("a", "b", "c"))
SGD: dict[str, Any]
ADAM: dict[str, Any]
SGD, ADAM = {"sgd": {"class": "SGD"}}, {"adam": {"class": "Adam"}}
SCHEDULES: tuple[dict[str, Any], ...] = (
    {"constant": {}},
    {"constant": {}, "step": {"every": 2}},
    {"constant": {}, "late": {"name": "step", "every": 3}, "cosine": {}},
    {"constant": {}, "plateau": {"monitor": "val_accuracy", "patience": 1, "min_delta": 9}},
    {"constant": {}, "plateau": {"monitor": "val_loss", "patience": 1}},
)
NEVER_BETTER = {"monitor": "val_accuracy", "min_delta": 9.0}
GRIDS: tuple[dict[str, Any], ...] = (
    {"optimizers": SGD, "grid": {}},
    {"optimizers": {**SGD, **ADAM}, "grid": {}},
    {"optimizers": SGD, "grid": {"optimizers.sgd.learning_rate": [0.01, 0.02]}},
    {
        "optimizers": {"muon": {"class": "Muon"}},
        "grid": {"optimizers.muon.exclude_layers": [["block1/.*"], ["../block2"]]},
    },
    {
        "optimizers": SGD,
        "grid": {
            "early_stopping": [{**NEVER_BETTER, "patience": n, "start_from_epoch": 1} for n in (2, 3)],
            "reduce_on_plateau": [
                {**NEVER_BETTER, "patience": n, "factor": 0.5, "min_learning_rate": 1e-6} for n in (1, 2)
            ],
        },
    },
)
SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "schedules": st.sampled_from(SCHEDULES),
    "seeds": st.sampled_from(([0], [1], [0, 1])),
    "epochs": st.integers(1, 7),
    "monitor": st.sampled_from(callbacks.METRICS),
    "checkpoints": st.sampled_from(("needed", "ladder", "all")),
    "save_best": st.sampled_from((True, True, False)),
    "early_stopping": st.sampled_from((None, {"monitor": "val_loss", "patience": 1})),
    "reduce_on_plateau": st.sampled_from((None, {"monitor": "loss", "patience": 1, "factor": 0.5})),
}


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """Some settings of a sweep's file."""
    chosen = draw(st.sets(st.sampled_from(("grid", *SETTINGS)), max_size=4))
    drawn = {key: draw(SETTINGS[key]) for key in sorted(chosen & SETTINGS.keys())}
    return {**drawn, **(draw(st.sampled_from(GRIDS)) if "grid" in chosen else {})}


DEATHS: dict[str, st.SearchStrategy[Any]] = {
    "fatal": st.integers(0, 150),
    "killed": st.integers(0, 30).map(lambda n: n / 100),
    "worker_killed": st.integers(0, 30).map(lambda n: n / 100),
}
WAYS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "to its end": st.just({}),
    **{how: st.fixed_dictionaries({how: when}) for how, when in DEATHS.items()},
}


@st.composite
def runs(draw: st.DrawFn, *ways: str) -> Run:
    """A run of a sweep: as it is, changed, or as a copy of another; it ends in one of these `ways`."""
    end = draw(st.sampled_from(ways).flatmap(WAYS.__getitem__))
    return Run(draw(NAMES), draw(changes()), draw(st.none() | NAMES), draw(st.integers(1, 3)), **end)


CLEANINGS = st.builds(Clean, NAMES)
PARTS = st.one_of(runs("to its end", "to its end", "killed"), CLEANINGS)
TOGETHER = st.builds(Together, st.lists(PARTS, min_size=2, max_size=3), st.integers(0, 8).map(lambda n: n / 100))
DAMAGES = st.builds(CorruptFile, st.integers(0, 1000), st.sampled_from(("delete", "cut", "flip")))
OPERATIONS = st.one_of(runs("to its end"), runs(*WAYS), TOGETHER, CLEANINGS, DAMAGES)


def checked(operations: Sequence[Operation], **how: Any) -> None:
    """Play `operations` in an empty folder in memory."""
    folder = Path(tempfile.mkdtemp(dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
    try:
        play(operations, folder, **how)
    except Exception as error:
        error.add_note(f"\nThe same again:\n{script(operations)}")
        raise
    finally:
        shutil.rmtree(folder)


def sequences(cases: int, seeded: bool) -> settings:
    """So many sequences, the same each time where `seeded`."""
    return settings(
        max_examples=cases,
        deadline=None,
        derandomize=seeded,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )


@given(st.lists(OPERATIONS, min_size=1, max_size=9))
@sequences(CASES, seeded=True)
def test_all_laws_hold_after_each_operation(operations: list[Operation]) -> None:
    checked(operations)


@pytest.mark.heavy
@given(st.lists(OPERATIONS, min_size=1, max_size=20))
@sequences(HEAVY, seeded=False)
def test_all_laws_hold_over_many_sequences(operations: list[Operation]) -> None:
    checked(operations)


LONG = {"epochs": 7, "seeds": [0, 1]}
ONCE_BROKEN: dict[str, list[Operation]] = {
    "a path in a value of an axis": [Run("a", GRIDS[3]), Run("a", {"epochs": 3})],
    "mappings in the values of two axes": [Run("a", GRIDS[4]), Run("a", {"epochs": 3})],
    "superseded epochs beside current ones": [
        Run("a", {"epochs": 3}),
        Run("b", like="a"),
        Run("b", {"epochs": 4, "schedules": {"cosine": {}}}),
        Run("b", {"epochs": 5}),
        Clean("a"),
    ],
    "another sweep that keeps all": [
        Run("a", {"epochs": 5, "checkpoints": "all"}),
        Run("b", {"epochs": 2, "checkpoints": "needed"}),
        Clean("b"),
    ],
    "all kept, and cleaned": [Run("a", {"epochs": 3, "checkpoints": "all"}), Clean("a")],
    "all epochs taken, and another best": [Run("a", LONG), Run("b", {"monitor": "val_loss"}, like="a")],
    "fewer epochs, and another best": [Run("a", {"epochs": 3}), Run("a", {"epochs": 5}), Run("a", {"epochs": 2})],
    "one beginning at once": [Together([Run("a", LONG), Run("b", like="a")], pace=0.03)],
    "one beginning at once, and another best": [
        Together([Run("a", LONG), Run("b", {"monitor": "val_loss"}, like="a")], pause=0.2, pace=0.03)
    ],
    "the same twice at once": [Together([Run("a", LONG), Run("a")], pause=0.2, pace=0.03)],
}


@pytest.mark.parametrize("case", ONCE_BROKEN)
def test_laws_that_were_once_broken_hold(case: str) -> None:
    checked(ONCE_BROKEN[case])


def test_laws_hold_where_a_ladder_is_kept_shared_and_given_up() -> None:
    checked(
        [
            Run("a", {"epochs": 5, "checkpoints": "ladder"}),
            Run("b", {"epochs": 7, "checkpoints": "needed"}, like="a"),
            Clean("b"),
            Run("a", {"epochs": 7, "checkpoints": "needed"}),
            Clean("a"),
        ]
    )


UNDER_RAY: dict[str, list[Operation]] = {
    "one after the other": [
        Run("a", {"epochs": 3, "seeds": [0, 1]}),
        Run("b", {"epochs": 5, "schedules": SCHEDULES[1]}, like="a"),
        Run("a", {"epochs": 2}),
        Run("b"),
        Clean("b"),
    ],
    "killed at any time": [
        Run("a", {"epochs": 40, "schedules": SCHEDULES[1]}, killed=16.0),
        Run("a", worker_killed=15.0),
        Run("b", {"monitor": "val_loss"}, like="a", killed=13.0),
        Run("b"),
        Run("a"),
    ],
    "two at once": [
        Together([Run("a", {**LONG, "epochs": 40}), Run("b", {"schedules": SCHEDULES[1]}, like="a")], pace=0.3),
        Run("a"),
        Run("b"),
        Clean("a"),
    ],
    "two at once, one of them killed": [
        Together([Run("a", {**LONG, "epochs": 40}, killed=25.0), Run("b", like="a")], pause=4.0, pace=0.3),
        Run("a"),
    ],
}


@pytest.mark.heavy
@pytest.mark.parametrize("case", UNDER_RAY)
def test_all_laws_hold_under_ray(case: str) -> None:
    checked(UNDER_RAY[case], start=CommandLine, pace=0.1)
