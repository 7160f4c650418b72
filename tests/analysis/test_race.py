"""A race decides who may be the best: not the test after the fact, which has looked once."""

from orchestrator.analysis.race import Leaving, RaceResult
from orchestrator.analysis.summary import RecipeLabel, summarize
from tests.support.histories import worked

FINALS = {"a + x": [0.93, 0.95, 0.94], "b + x": [0.92, 0.95, 0.93], "c + x": [0.5, 0.51, 0.52]}


def rows(comparison, name):
    return {row["recipe"]: row[name] for row in comparison.ranking.to_pylist()}


def test_who_is_in_the_race_may_be_the_best_whatever_the_test_says():
    assert rows(summarize(*worked(FINALS)), "in_set") == {"a + x": True, "b + x": True, "c + x": False}
    race = RaceResult(seeds=0, inside=3, left={}, ended=())
    comparison = summarize(*worked(FINALS), race=race)
    assert set(rows(comparison, "in_set").values()) == {True}
    assert "The race goes on: 3 of 3 recipes are in it." in comparison.answer
    assert comparison.race.column("in_race").to_pylist() == [True] * 3


def test_who_has_left_ranks_last_with_the_reason():
    # The recipe that left had the easier seeds: its mean is larger.
    finals = {"a + x": [0.95, 0.94, 0.70, 0.71], "b + x": [0.90, 0.88]}
    left = {RecipeLabel("b", "x"): Leaving(2, "behind", "a + x")}
    comparison = summarize(
        *worked(finals), race=RaceResult(seeds=4, inside=1, left=left, ended=("one recipe is left",))
    )
    assert rows(comparison, "rank") == {"a + x": 1, "b + x": 2}
    assert rows(comparison, "verdict")["b + x"] == "different"
    row = comparison.race.to_pylist()[1]
    assert (row["recipe"], row["left_after"], row["reason"], row["better"]) == ("b + x", 2, "behind", "a + x")
    assert any(s.startswith("The race is over after 4 seeds, 1 of 2 recipes is in it") for s in comparison.answer)
