"""Sequences of runs, deaths, changes and cleanings drawn at random, in one results folder: all laws hold after each.

A store is a set of facts: what was trained is known, whoever asks and whatever died meanwhile. With GENERATED_CASES
set, so many sequences are drawn, others at each time; with GENERATED_MINUTES, as many as there is time for.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments import rules
from tests.faults.conftest import MEMORY
from tests.generated.engines import CommandLine
from tests.generated.facts import Clean, Damage, Operation, Run, Together, play, script

CASES = 40
"""In the default run: about a minute."""
NAMES = st.sampled_from(("a", "b", "c"))
SGD, ADAM = {"sgd": {"class": "SGD"}}, {"adam": {"class": "Adam"}}
SCHEDULES: tuple[dict[str, Any], ...] = (
    {"constant": {}},
    {"constant": {}, "step": {"every": 2}},
    {"constant": {}, "late": {"name": "step", "every": 3}, "cosine": {}},
    {"constant": {}, "plateau": {"monitor": "val_accuracy", "patience": 1, "min_delta": 9}},
    {"plateau": {"monitor": "val_loss", "patience": 1}},
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
            "reduce_on_plateau": [{**NEVER_BETTER, "patience": n, "factor": 0.5, "cooldown": 1} for n in (1, 2)],
        },
    },
)
SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "schedules": st.sampled_from(SCHEDULES),
    "seeds": st.sampled_from(([0], [1], [0, 1])),
    "epochs": st.integers(1, 7),
    "monitor": st.sampled_from(rules.METRICS),
    "checkpoints": st.sampled_from(("needed", "all")),
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


@st.composite
def runs(draw: st.DrawFn, deaths: Sequence[str] = tuple(DEATHS)) -> Run:
    """A run of a sweep: as it is, changed, or as a copy of another."""
    end: dict[str, Any] = {}
    if deaths and draw(st.booleans()):
        how = draw(st.sampled_from(deaths))
        end = {how: draw(DEATHS[how])}
    like = draw(st.one_of(st.none(), NAMES))
    return Run(draw(NAMES), draw(changes()), like, draw(st.integers(1, 3)), **end)


CLEANINGS = st.builds(Clean, NAMES)
TOGETHER = st.builds(
    Together,
    st.lists(st.one_of(runs(deaths=["killed"]), runs(deaths=()), CLEANINGS), min_size=2, max_size=3),
    pause=st.integers(0, 8).map(lambda n: n / 100),
)
DAMAGES = st.builds(Damage, st.integers(0, 1000), st.sampled_from(("delete", "cut", "flip")))
OPERATIONS = st.one_of(runs(), runs(), TOGETHER, CLEANINGS, DAMAGES)


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


def drawn(cases: int, seeded: bool) -> settings:
    """So many sequences, the same at each time where `seeded`."""
    return settings(
        max_examples=cases,
        deadline=None,
        derandomize=seeded,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )


@given(st.lists(OPERATIONS, min_size=4, max_size=8))
@drawn(int(os.environ.get("GENERATED_CASES", CASES)), seeded="GENERATED_CASES" not in os.environ)
def test_all_laws_hold_after_each_operation(operations: list[Operation]) -> None:
    checked(operations)
