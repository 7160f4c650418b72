"""The `race:` part of a sweep file."""

import doctest
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.settings import InputError
from orchestrator.spec import race as module
from orchestrator.spec import sweep, trials
from orchestrator.spec.race import Race, check
from tests.support.sweeps import small, written


def test_no_example_in_the_docstrings_fails() -> None:
    assert doctest.testmod(module).failed == 0


def test_a_sweep_is_no_race_unless_it_says_so() -> None:
    assert small().race is None
    assert small(race=None).race is None
    assert small(race={}).race == Race(confidence=0.95, first=3, most=30, equivalence=None)


def test_its_trials_are_those_of_all_seeds_that_it_may_use() -> None:
    assert small(race={"most": 4}).seeds == (0, 1, 2, 3)
    assert small(race={"most": 4}, seeds=[5, 1]).seeds == (5, 1, 0, 2)
    assert len(trials.trials(small(race={"most": 4}))) == 4 * 4
    document = {k: v for k, v in small(race={"most": 4}).document.items() if k != "seeds"}
    assert sweep.from_document(document).seeds == (0, 1, 2, 3)
    # The seeds that a file without any has by default may be more than the race uses.
    assert sweep.from_document({**document, "race": {"first": 2, "most": 2}}).seeds == (0, 1)


@given(st.lists(st.integers(0, 12), unique=True, min_size=1, max_size=8), st.integers(3, 20))
@settings(deadline=None, derandomize=True)
def test_the_listed_seeds_come_first_then_the_smallest_others(seeds: list[int], most: int) -> None:
    if len(seeds) > most:
        with pytest.raises(InputError, match=f"at least the {len(seeds)} seeds that are listed, got {most}"):
            check({"most": most}, seeds, True)
        seeds = seeds[:most]
    race, all_seeds = check({"most": most}, seeds, True)
    assert race.most == most == len(all_seeds) == len(set(all_seeds))
    assert list(all_seeds[: len(seeds)]) == seeds
    others = all_seeds[len(seeds) :]
    assert list(others) == [n for n in range(40) if n not in seeds][: len(others)]


@pytest.mark.parametrize(
    ("own", "of_sweep", "margin"), [(None, None, None), (None, 0.01, 0.01), (0.02, 0.01, 0.02), (0, 0.01, 0)]
)
def test_the_margin_is_its_own_or_that_of_the_sweep(own: Any, of_sweep: Any, margin: Any) -> None:
    assert small(race={"equivalence": own}, equivalence=of_sweep).margin == margin
    assert small(equivalence=of_sweep).margin == of_sweep


def test_the_command_lines_switch_makes_a_race_of_any_file(tmp_path: Path) -> None:
    file = written(tmp_path)
    assert sweep.load(file).race is None
    assert sweep.load(file, race=True).race == Race()
    assert sweep.load(file, {"race.first": 4}, race=True).race == Race(first=4)
    file = written(tmp_path, race={"first": 2, "most": 7})
    assert sweep.load(file).race == sweep.load(file, race=True).race == Race(first=2, most=7)
