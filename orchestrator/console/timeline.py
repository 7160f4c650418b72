"""Which worker trained which trial when, from the history alone: it names a host and a time, but no worker."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.console.live_progress import duration
from orchestrator.storage.history import Row

SHADES = ("█", "▒")
"""A worker's trials in turn: told apart by their pattern, not by a colour."""
IDLE = "·"
PAUSE = 2.0
"""Seconds between epochs of one trial in which its worker writes down what it has, and does nothing else."""
TOUCH = 0.005
"""Seconds by which two epochs of one worker may seem to overlap: clocks are read and rounded."""


@dataclass(frozen=True)
class Span:
    """An epoch: its trial, and when it was trained, in seconds since the epoch of Unix."""

    trial_id: str
    epoch: int
    start: float
    end: float


@dataclass
class Lane:
    """One worker: its epochs in order of time, none of which overlap."""

    host: str
    number: int
    spans: list[Span] = field(default_factory=list)

    @property
    def busy(self) -> float:
        """Seconds in which it trained."""
        return sum(span.end - span.start for span in self.spans)


def lanes(rows: Iterable[Row]) -> list[Lane]:
    """The epochs in `rows` that were trained, not taken, as the fewest workers of each host can have done them.

    A trial stays on its worker from epoch to epoch; the worker that became free last takes the next trial.
    """
    by_host: dict[str, list[tuple[Lane, float]]] = {}
    for host, stay in sorted(_stays(rows), key=lambda each: each[1][0].start):
        there = by_host.setdefault(host, [])
        free = [n for n, (_, until) in enumerate(there) if until <= stay[0].start + TOUCH]
        if free:
            number = max(free, key=lambda n: there[n][1])
            there[number][0].spans.extend(stay)
            there[number] = there[number][0], stay[-1].end
        else:
            there.append((Lane(host, len(there) + 1, stay), stay[-1].end))
    return [lane for host in sorted(by_host) for lane, _ in by_host[host]]


def _stays(rows: Iterable[Row]) -> Iterator[tuple[str, list[Span]]]:
    """A trial's epochs that followed at once on each other on one host: no other can have come between them."""
    by_trial: dict[tuple[str, str], list[Span]] = {}
    for row in sorted((r for r in rows if not r["reused"]), key=lambda r: r["started_at"]):
        start, name = row["started_at"].timestamp(), (row["trial_id"], row["host"])
        span = Span(row["trial_id"], row["epoch"], start, start + row["seconds"])
        stay = by_trial.get(name)
        if stay and start - stay[-1].end < max(PAUSE, row["seconds"]):
            stay.append(span)
            continue
        if stay:
            yield row["host"], stay
        by_trial[name] = [span]
    for (_, host), stay in by_trial.items():
        yield host, stay


def of_run(history: Mapping[str, pa.Table], since: float | None) -> list[Lane]:
    """The workers of the run that began at `since`; of all runs where it has trained nothing, or none is known."""
    rows = [row for table in history.values() for row in table.to_pylist()]
    own = [row for row in rows if since is not None and row["started_at"].timestamp() >= since]
    return lanes(own) or lanes(rows)


def as_json(drawn: Sequence[Lane]) -> list[dict[str, Any]]:
    """`sweep status --timeline --json`: every epoch that was trained, with the worker that did it."""
    return [
        {
            "host": lane.host,
            "worker": lane.number,
            "trial": span.trial_id,
            "epoch": span.epoch,
            "start": span.start,
            "seconds": span.end - span.start,
        }
        for lane in drawn
        for span in lane.spans
    ]


def row_of(lane: Lane, start: float, end: float, width: int) -> str:
    """The lane from `start` to `end` in `width` characters: each shows what took most of its share of the time.

    >>> row_of(Lane("a", 1, [Span("x", 0, 0.0, 4.0), Span("y", 0, 4.0, 6.0)]), 0.0, 8.0, 8)
    '████▒▒··'
    """
    step = (end - start) / width
    shares = [[0.0, 0.0] for _ in range(width)]
    turn, before = -1, ""
    for span in lane.spans:
        turn, before = (turn, before) if span.trial_id == before else (turn + 1, span.trial_id)
        first, last = int((span.start - start) / step), int((span.end - start) / step)
        for cell in range(max(first, 0), min(last, width - 1) + 1):
            left = start + cell * step
            shares[cell][turn % 2] += max(min(span.end, left + step) - max(span.start, left), 0.0)
    return "".join(SHADES[one[1] > one[0]] if sum(one) >= step / 2 else IDLE for one in shares)


def render(drawn: Sequence[Lane], console: Console) -> None:
    """Print a row for each worker, and how much of the time all of them trained."""
    if not drawn:
        console.print("timeline: nothing has been trained yet")
        return
    start = min(lane.spans[0].start for lane in drawn)
    end = max(lane.spans[-1].end for lane in drawn)
    names = [f"{lane.host} {lane.number}" for lane in drawn]
    width = max(console.width - max(map(len, names)) - 22, 10)
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("worker", no_wrap=True)
    table.add_column(f"0 to {duration(end - start)}", no_wrap=True)
    table.add_column("trials", justify="right")
    table.add_column("busy", justify="right")
    for name, lane in zip(names, drawn, strict=True):
        trials = len({span.trial_id for span in lane.spans})
        busy = f"{lane.busy / max(end - start, 1e-9):.0%}"
        table.add_row(name, Text(row_of(lane, start, max(end, start + 1e-9), width)), str(trials), busy)
    console.print(table)
    share = sum(lane.busy for lane in drawn) / max((end - start) * len(drawn), 1e-9)
    console.print(
        f"{len(drawn)} workers trained {share:.1%} of the time; "
        f"{' and '.join(SHADES)} are a worker's trials in turn, {IDLE} is no training",
        highlight=False,
    )
