"""What a run shows while it goes on."""

import io
import re

from rich.console import Console

from orchestrator.console.live_progress import Counter, Display, Estimate, counting
from orchestrator.planning import plan
from orchestrator.storage.store import Store
from tests.support.rows import row
from tests.support.sweeps import small


def test_without_a_terminal_there_is_one_plain_line_an_epoch(store: Store) -> None:
    sweep_plan = plan.make(small(), store)
    out = io.StringIO()
    first = sweep_plan.trials[0]
    with Display(Console(file=out, width=60)) as display:
        display.began(sweep_plan, sweep_plan.cursors)
        display.started(first)
        display.epoch(first, row(first.id, 0))
        display.epoch(first, row(first.id, 1))
        display.ended(first, "failed", "no luck")
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"{first.id} epoch 1/4 loss 1.5000 val_loss 0.7000 val_accuracy 0.2500")
    assert lines[1].startswith(f"{first.id} epoch 2/4")
    assert lines[2] == f"{first.id}: failed: no luck"


def test_a_terminal_shows_running_trials_and_the_best(store: Store) -> None:
    sweep_plan = plan.make(small(), store)
    first = sweep_plan.trials[0]
    out = io.StringIO()
    with Display(Console(file=out, width=110, force_terminal=True)) as display:
        display.began(sweep_plan, sweep_plan.cursors)
        display.started(first)
        display.epoch(first, row(first.id, 0))
    frames = out.getvalue()
    assert "1/4" in frames
    assert "best so far: 0.2500" in frames
    assert "1/32 epochs" in frames


def test_an_estimate_needs_one_epoch_and_ends_at_nothing(store: Store) -> None:
    sweep_plan = plan.make(small(), store)
    estimate = Estimate(sweep_plan, sweep_plan.cursors)
    assert estimate.left is None
    estimate.add(2.0)
    assert estimate.left is not None
    assert 61.0 < estimate.left < 70.0
    for _ in range(31):
        estimate.add(2.0)
    assert estimate.left == 0.0


def test_a_counter_without_a_terminal_says_when_it_begins_and_ends() -> None:
    out = io.StringIO()
    counter = Counter(Console(file=out), "decoding images")
    for count in range(1, 101):
        counter(count, 100)
    assert out.getvalue().splitlines() == ["decoding images 1/100", "decoding images 100/100"]


def test_a_counter_in_a_terminal_shows_a_bar_and_leaves_nothing() -> None:
    out = io.StringIO()
    with counting(Console(file=out, width=80, force_terminal=True), "decoding images") as counter:
        for count in range(1, 101):
            counter(count, 100)
    frames = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue())
    assert "decoding images" in frames
    assert "━" in frames
    assert "100/100" in frames
    assert out.getvalue().endswith("\x1b[2K")
