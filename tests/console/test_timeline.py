"""Who trained what when, out of a history that names no workers."""

from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from orchestrator.console import timeline
from tests.support.rows import row

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def epoch(trial: str, number: int, start: float, seconds: float = 1.0, **changes: Any) -> dict[str, Any]:
    """An epoch that began `start` seconds after noon."""
    times = {"started_at": NOON + timedelta(seconds=start), "seconds": seconds, "host": "a", "reused": False}
    return {**row(trial, number, f"{trial}{number}"), **times, **changes}


def test_two_trials_at_once_are_two_workers_and_a_worker_goes_on_with_its_trial() -> None:
    rows = [epoch("x", n, n * 1.0) for n in range(3)] + [epoch("y", n, n * 1.0 + 0.1) for n in range(3)]
    workers = timeline.lanes(rows)
    assert [[s.trial_id for s in lane.spans] for lane in workers] == [["x"] * 3, ["y"] * 3]
    assert [(lane.host, lane.number) for lane in workers] == [("a", 1), ("a", 2)]


def test_a_free_worker_takes_the_next_trial_and_every_host_has_its_own() -> None:
    rows = [epoch("x", 0, 0), epoch("y", 0, 0, 3), epoch("z", 0, 1.01), epoch("w", 0, 0, host="b")]
    workers = timeline.lanes(rows)
    assert [[s.trial_id for s in lane.spans] for lane in workers] == [["x", "z"], ["y"], ["w"]]
    assert [lane.host for lane in workers] == ["a", "a", "b"]


def test_what_was_taken_took_nobody_any_time() -> None:
    assert timeline.lanes([epoch("x", 0, 0, reused=True)]) == []


def test_a_row_shows_trials_in_turn_and_idleness_without_colours() -> None:
    (lane,) = timeline.lanes([epoch("x", 0, 0), epoch("x", 1, 1), epoch("y", 0, 2), epoch("z", 0, 4)])
    assert timeline.row_of(lane, NOON.timestamp(), NOON.timestamp() + 6, 6) == "██▒·█·"


def test_it_says_how_much_of_the_time_was_used() -> None:
    console = Console(width=60, record=True, no_color=True)
    timeline.render(timeline.lanes([epoch("x", 0, 0, 4), epoch("y", 0, 0, 2)]), console)
    text = console.export_text()
    assert "2 workers trained 75.0% of the time" in " ".join(text.split())
    assert "50%" in text
