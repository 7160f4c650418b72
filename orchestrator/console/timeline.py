"""The timeline of every worker, from the history alone: its rows name a host and a time, but no worker."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.analysis.durations import duration
from orchestrator.storage.history import Row

SHADES = ("█", "▒")
"""Patterns of a worker's first trial, second trial, third trial and so on, in turn."""
IDLE = "·"
PAUSE = 2.0
"""Seconds between two epochs of a trial in which its worker may write a checkpoint, but train no other trial."""
OVERLAP = 0.005
"""Seconds by which two epochs of one worker may overlap in the history: its times are rounded."""


@dataclass(frozen=True)
class Span:
    """An epoch of a trial, with its start and its end in seconds since the epoch of Unix."""

    trial_id: str
    epoch: int
    start: float
    end: float


@dataclass
class Lane:
    """A worker of a host: its epochs in order of time, without overlaps."""

    host: str
    number: int
    spans: list[Span] = field(default_factory=list)

    @property
    def busy(self) -> float:
        """The seconds of all its epochs."""
        return sum(span.end - span.start for span in self.spans)


def lanes(rows: Iterable[Row]) -> list[Lane]:
    """The trained epochs in `rows`, by worker: the fewest workers of each host that can have trained them.

    A trial stays on its worker from epoch to epoch; the worker that became idle last takes the next trial.
    """
    by_host: dict[str, list[Lane]] = {}
    for host, spans in sorted(_uninterrupted(rows), key=lambda pair: pair[1][0].start):
        host_lanes = by_host.setdefault(host, [])
        idle = [lane for lane in host_lanes if lane.spans[-1].end <= spans[0].start + OVERLAP]
        if idle:
            max(idle, key=lambda lane: lane.spans[-1].end).spans.extend(spans)
        else:
            host_lanes.append(Lane(host, len(host_lanes) + 1, spans))
    return [lane for host in sorted(by_host) for lane in by_host[host]]


def _uninterrupted(rows: Iterable[Row]) -> Iterator[tuple[str, list[Span]]]:
    """Host and epochs of a trial that followed each other without a pause for an epoch of another trial."""
    current: dict[tuple[str, str], list[Span]] = {}
    for row in sorted((row for row in rows if not row["reused"]), key=lambda row: row["started_at"]):
        start, key = row["started_at"].timestamp(), (row["trial_id"], row["host"])
        span = Span(row["trial_id"], row["epoch"], start, start + row["seconds"])
        spans = current.get(key)
        if spans and start - spans[-1].end < max(PAUSE, row["seconds"]):
            spans.append(span)
            continue
        if spans:
            yield row["host"], spans
        current[key] = [span]
    for (_, host), spans in current.items():
        yield host, spans


def of_run(history: Mapping[str, pa.Table], run_started: float | None) -> list[Lane]:
    """The workers of the run that started at `run_started`; of all runs if it is None or trained nothing."""
    rows = [row for table in history.values() for row in table.to_pylist()]
    of_this_run = [row for row in rows if run_started is not None and row["started_at"].timestamp() >= run_started]
    return lanes(of_this_run) or lanes(rows)


def as_json(workers: Sequence[Lane]) -> list[dict[str, Any]]:
    """`sweep status --timeline --json`: every trained epoch with its worker."""
    return [
        {
            "host": lane.host,
            "worker": lane.number,
            "trial": span.trial_id,
            "epoch": span.epoch,
            "start": span.start,
            "seconds": span.end - span.start,
        }
        for lane in workers
        for span in lane.spans
    ]


def row_of(lane: Lane, start: float, end: float, width: int) -> str:
    """The lane from `start` to `end` in `width` characters: patterns of its trials, and `IDLE`.

    >>> row_of(Lane("a", 1, [Span("x", 0, 0.0, 4.0), Span("y", 0, 4.0, 6.0)]), 0.0, 8.0, 8)
    '████▒▒··'
    """
    step = (end - start) / width
    # The seconds of each character that belong to trials of the first pattern and of the second.
    seconds = [[0.0, 0.0] for _ in range(width)]
    turn, trial_id = -1, ""
    for span in lane.spans:
        if span.trial_id != trial_id:
            turn, trial_id = turn + 1, span.trial_id
        first, last = int((span.start - start) / step), int((span.end - start) / step)
        for position in range(max(first, 0), min(last, width - 1) + 1):
            left = start + position * step
            seconds[position][turn % 2] += max(min(span.end, left + step) - max(span.start, left), 0.0)
    return "".join(SHADES[odd > even] if even + odd >= step / 2 else IDLE for even, odd in seconds)


def render(workers: Sequence[Lane], console: Console) -> None:
    """Print a row per worker, and the share of the time in which they trained."""
    if not workers:
        console.print("timeline: nothing has been trained yet")
        return
    start = min(lane.spans[0].start for lane in workers)
    end = max(lane.spans[-1].end for lane in workers)
    names = [f"{lane.host} {lane.number}" for lane in workers]
    width = max(console.width - max(map(len, names)) - 22, 10)
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("worker", no_wrap=True)
    table.add_column(f"0 to {duration(end - start)}", no_wrap=True)
    table.add_column("trials", justify="right")
    table.add_column("busy", justify="right")
    for name, lane in zip(names, workers, strict=True):
        trials = len({span.trial_id for span in lane.spans})
        busy = f"{lane.busy / max(end - start, 1e-9):.0%}"
        table.add_row(name, Text(row_of(lane, start, max(end, start + 1e-9), width)), str(trials), busy)
    console.print(table)
    share = sum(lane.busy for lane in workers) / max((end - start) * len(workers), 1e-9)
    console.print(
        f"{len(workers)} workers trained {share:.1%} of the time; "
        f"{' and '.join(SHADES)} are a worker's trials in turn, {IDLE} is no training",
        highlight=False,
    )
