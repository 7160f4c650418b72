"""The live display of a run: bars and running trials in a terminal, one plain line an epoch elsewhere."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.planning.epoch_chain import ChainCursor
from orchestrator.planning.plan import Plan
from orchestrator.spec.trials import Trial
from orchestrator.storage.history import Row

_BLOCKS = "▁▂▃▄▅▆▇█"
_SHOWN = 12
"""More running trials than this are counted, not listed."""


def sparkline(
    values: Sequence[float], width: int = 16, low: float | None = None, high: float | None = None
) -> str:
    """Finite `values` as a row of at most `width` blocks, from `low` to `high` (default: their range).

    >>> sparkline([0.0, 0.5, 1.0])
    '▁▅█'
    """
    shown = [v for v in values if math.isfinite(v)]
    if not shown:
        return ""
    if len(shown) > width:
        shown = [shown[round(i * (len(shown) - 1) / (width - 1))] for i in range(width)]
    bottom = min(shown) if low is None else low
    span = (max(shown) if high is None else high) - bottom
    levels = [0.0 if span <= 0 else min(max((v - bottom) / span, 0.0), 1.0) for v in shown]
    return "".join(_BLOCKS[int(level * 7 + 0.5)] for level in levels)


def duration(seconds: float) -> str:
    """Seconds as people say them: `8 s`, `3 min 20 s`, `5 h 12 min`.

    >>> duration(200)
    '3 min 20 s'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Estimate:
    """How long a run will still take, from the epochs it has trained so far."""

    RECOUNT_UP_TO = 200
    """In larger plans the epochs are counted once, before the run: counting them takes a while."""

    def __init__(self, plan: Plan, cursors: Mapping[str, ChainCursor]) -> None:
        """Nothing of `plan` is trained yet; `cursors`, by trial, advance while it is."""
        self._plan, self._cursors = plan, cursors
        self.epochs = plan.epochs.new + plan.epochs.recomputed
        self.trained = 0
        self._first: float | None = None

    def add(self, seconds: float) -> None:
        """One epoch was trained, in that many seconds on its worker."""
        if self._first is None:
            self._first = time.monotonic() - seconds
        self.trained += 1
        self.epochs = max(self.epochs, self.trained)

    def recount(self) -> None:
        """Count what is left: rules that react to what was measured end trials early and part them from others."""
        if len(self._plan.trials) <= self.RECOUNT_UP_TO:
            cursors = self._cursors.values()
            left = {key for cursor in cursors for key in cursor.foreseen()}
            again = {key for cursor in cursors if cursor.ending is None for key in cursor.keys[cursor.resume :]}
            self.epochs = self.trained + (
                len(left) + len(again) if self._plan.share else self.epochs - self.trained
            )

    @property
    def left(self) -> float | None:
        """Seconds; None before the first epoch. Counts from the first epoch on, for start-up comes but once."""
        if self._first is None or not self.trained:
            return None
        pace = (time.monotonic() - self._first) / self.trained
        return max(self.epochs - self.trained, 0) * pace


class Display:
    """A `Listener` that shows a run on `console`."""

    _estimate: Estimate
    _cursors: Mapping[str, ChainCursor]

    def __init__(self, console: Console) -> None:
        """A display of one run; live where `console` is a terminal."""
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._running: dict[str, Trial] = {}
        self._curves: dict[str, list[float]] = {}
        self._last: dict[str, Row] = {}
        self._best: tuple[float, str] | None = None
        self._start = time.monotonic()

    def __enter__(self) -> "Display":
        """Messages are shown from now on, the run from its begin on."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        if self._live:
            self._live.stop()

    def began(self, plan: Plan, cursors: Mapping[str, ChainCursor]) -> None:
        """The run carries out `plan`; the `cursors` advance while it goes on."""
        self._cursors, self._estimate = cursors, Estimate(plan, cursors)
        self._start = time.monotonic()
        if self._live:
            self._live.start()
            self._refresh()

    def started(self, trial: Trial) -> None:
        """The trial has a worker."""
        self._running[trial.id] = trial
        self._curves[trial.id] = [m["val_accuracy"] for m in self._cursors[trial.id].history]
        self._refresh()

    def epoch(self, trial: Trial, row: Row) -> None:
        """The trial has trained an epoch."""
        self._estimate.add(row["seconds"])
        self._curves.setdefault(trial.id, []).append(row["val_accuracy"])
        self._last[trial.id] = row
        if row["val_accuracy"] == row["val_accuracy"] and (not self._best or row["val_accuracy"] > self._best[0]):
            self._best = (row["val_accuracy"], trial.id)
        if self._live:
            self._refresh()
        else:
            self._console.print(self._line(trial, row), highlight=False, soft_wrap=True, markup=False)

    def ended(self, trial: Trial, status: str, reason: str) -> None:
        """The trial is completed, stopped, diverged or failed."""
        self._running.pop(trial.id, None)
        self._curves.pop(trial.id, None)
        self._estimate.recount()
        if status != "completed":
            self.say(f"{trial.id}: {status}{': ' + reason if reason else ''}")
        self._refresh()

    def say(self, message: str) -> None:
        """A message for people."""
        self._console.print(message, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def _line(self, trial: Trial, row: Row) -> str:
        epochs = trial.recipe.settings.epochs
        return (
            f"{trial.id} epoch {row['epoch'] + 1}/{epochs} loss {row['loss']:.4f} val_loss {row['val_loss']:.4f} "
            f"val_accuracy {row['val_accuracy']:.4f} learning_rate {row['learning_rate']:.3g} "
            f"{row['seconds']:.1f} s ({self._estimate.trained}/{self._estimate.epochs} epochs{self._left()})"
        )

    def _left(self) -> str:
        left = self._estimate.left
        return "" if left is None else f", {duration(left)} left"

    def _refresh(self) -> None:
        if self._live:
            self._live.update(Group(*self._picture()), refresh=True)

    def _picture(self) -> Iterator[RenderableType]:
        table = Table(box=None, padding=(0, 1), header_style="dim")
        for name in ("trial", "epoch", "val_accuracy", "val_loss", "learning rate", "images/s", "curve"):
            table.add_column(name, justify="left" if name in ("trial", "curve") else "right", no_wrap=True)
        for trial in list(self._running.values())[:_SHOWN]:
            row = self._last.get(trial.id)
            done = len(self._curves.get(trial.id, ()))
            numbers = (
                [
                    f"{row['val_accuracy']:.4f}",
                    f"{row['val_loss']:.4f}",
                    f"{row['learning_rate']:.3g}",
                    f"{row['images_per_second']:.0f}",
                ]
                if row
                else ["", "", "", ""]
            )
            curve = sparkline(self._curves.get(trial.id, []), low=0.0, high=1.0)
            table.add_row(Text(trial.id), f"{done}/{trial.recipe.settings.epochs}", *numbers, curve)
        yield table
        if len(self._running) > _SHOWN:
            yield Text(f" and {len(self._running) - _SHOWN} more", style="dim")
        total = max(self._estimate.epochs, 1)
        line = Table.grid(padding=(0, 1))
        elapsed = duration(time.monotonic() - self._start)
        line.add_row(
            Text(f" {self._estimate.trained}/{self._estimate.epochs} epochs"),
            ProgressBar(total=total, completed=self._estimate.trained, width=30),
            Text(f"{elapsed}{self._left()}" if self._estimate.trained else f"{elapsed}, workers are starting"),
        )
        yield line
        if self._best:
            yield Text(f" best so far: {self._best[0]:.4f}  {self._best[1]}", style="green")


@contextmanager
def counting(console: Console, what: str) -> Iterator["Counter"]:
    """A counter of `what` on `console`, for work before the run such as decoding images."""
    counter = Counter(console, what)
    try:
        yield counter
    finally:
        counter.stop()


class Counter:
    """Called as `counter(done, total)`; a bar in a terminal, a line at the start and the end elsewhere."""

    def __init__(self, console: Console, what: str) -> None:
        """Nothing is shown before the first call."""
        self._console, self._what = console, what
        self._live: Live | None = None
        self._shown = -1.0

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total`."""
        if not self._console.is_terminal:
            if self._shown < 0 or done == total:
                self._console.print(f"{self._what} {done}/{total}", highlight=False)
                self._shown = 0
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        if done == total or time.monotonic() - self._shown > 0.1:
            line = Table.grid(padding=(0, 1))
            line.add_row(
                Text(f" {self._what}"),
                ProgressBar(total=total, completed=done, width=30),
                Text(f"{done}/{total}"),
            )
            self._live.update(line, refresh=True)
            self._shown = time.monotonic()

    def stop(self) -> None:
        """Leave the terminal as it was."""
        if self._live:
            self._live.stop()
            self._live = None
