"""The progress of a run: bars and running trials in a terminal, one plain line per epoch without a terminal."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.analysis.durations import duration
from orchestrator.console.text import sparkline
from orchestrator.planning.epoch_chain import ChainCursor
from orchestrator.planning.plan import Plan
from orchestrator.report.number_format import rate
from orchestrator.spec.trials import Trial
from orchestrator.storage.history import Row

_BAR_WIDTH = 30
_LISTED_TRIALS = 12
"""More running trials than this are counted, not listed."""
_REFRESH_EVERY = 0.1
"""The least number of seconds between two updates of a counter's bar."""


class Estimate:
    """The time left of a run, from the epochs that it has trained.

    `rich.progress` has an estimate too, but it forgets epochs of more than half a minute and counts start-up.
    """

    RECOUNT_UP_TO = 200
    """In plans with more trials the epochs are counted once, before the run: counting them takes a while."""

    def __init__(self, plan: Plan, cursors: Mapping[str, ChainCursor]) -> None:
        """An estimate before the first epoch of `plan`; the `cursors`, by trial, advance during the run."""
        self._plan, self._cursors = plan, cursors
        self.epochs = plan.epochs.new + plan.epochs.recomputed
        self.trained = 0
        self._trial_ids = {trial.id for trial in plan.trials}
        self._start: float | None = None

    def add(self, seconds: float) -> None:
        """Count an epoch that took `seconds` on its worker."""
        if self._start is None:
            self._start = time.monotonic() - seconds
        self.trained += 1
        self.epochs = max(self.epochs, self.trained)

    def start(self, trial_id: str) -> None:
        """Count the epochs of the trial too: a race asks for more trials while it goes on."""
        if trial_id not in self._trial_ids:
            self._trial_ids.add(trial_id)
            self.epochs += len(self._cursors[trial_id].foreseen())

    def recount(self) -> None:
        """Count the epochs to train again: rules end trials early and give trials different learning rates."""
        if len(self._plan.trials) > self.RECOUNT_UP_TO or not self._plan.share:
            return
        cursors = [self._cursors[trial_id] for trial_id in self._trial_ids]
        new = {key for cursor in cursors for key in cursor.foreseen()}
        recomputed = {key for cursor in cursors if cursor.ending is None for key in cursor.keys[cursor.resume :]}
        self.epochs = self.trained + len(new) + len(recomputed)

    @property
    def left(self) -> float | None:
        """Seconds; None before the first epoch. The pace is that since the start of the first epoch."""
        if self._start is None or not self.trained:
            return None
        pace = (time.monotonic() - self._start) / self.trained
        return max(self.epochs - self.trained, 0) * pace


class Display:
    """A `Listener` that shows a run on a console."""

    _estimate: Estimate
    _cursors: Mapping[str, ChainCursor]

    def __init__(self, console: Console) -> None:
        """A display of one run; live if `console` is a terminal."""
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._running: dict[str, Trial] = {}
        self._accuracies: dict[str, list[float]] = {}
        self._last_rows: dict[str, Row] = {}
        self._best: tuple[float, str] | None = None
        self._start = time.monotonic()

    def __enter__(self) -> "Display":
        """Show messages from now on, and the run from its beginning."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        if self._live:
            self._live.stop()

    def began(self, plan: Plan, cursors: Mapping[str, ChainCursor]) -> None:
        """The run carries out `plan`; the `cursors` advance during the run."""
        self._cursors, self._estimate = cursors, Estimate(plan, cursors)
        self._start = time.monotonic()
        if self._live:
            self._live.start()
            self._refresh()

    def started(self, trial: Trial) -> None:
        """The trial has a worker."""
        self._running[trial.id] = trial
        self._estimate.start(trial.id)
        self._accuracies[trial.id] = [metrics["val_accuracy"] for metrics in self._cursors[trial.id].history]
        self._refresh()

    def epoch(self, trial: Trial, row: Row) -> None:
        """The trial has trained an epoch."""
        self._estimate.add(row["seconds"])
        accuracy = row["val_accuracy"]
        self._accuracies.setdefault(trial.id, []).append(accuracy)
        self._last_rows[trial.id] = row
        if not math.isnan(accuracy) and (not self._best or accuracy > self._best[0]):
            self._best = (accuracy, trial.id)
        if self._live:
            self._refresh()
        else:
            self._console.print(self._epoch_line(trial, row), highlight=False, soft_wrap=True, markup=False)

    def ended(self, trial: Trial, status: str, reason: str) -> None:
        """The trial is completed, stopped, diverged or failed."""
        self._running.pop(trial.id, None)
        self._accuracies.pop(trial.id, None)
        self._estimate.recount()
        if status != "completed":
            self.say(f"{trial.id}: {status}{': ' + reason if reason else ''}")
        self._refresh()

    def say(self, message: str) -> None:
        """A message for people."""
        self._console.print(message, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def _epoch_line(self, trial: Trial, row: Row) -> str:
        epochs = trial.recipe.settings.epochs
        return (
            f"{trial.id} epoch {row['epoch'] + 1}/{epochs} loss {row['loss']:.4f} val_loss {row['val_loss']:.4f} "
            f"val_accuracy {row['val_accuracy']:.4f} learning_rate {rate(row['learning_rate'])} "
            f"{row['seconds']:.1f} s ({self._estimate.trained}/{self._estimate.epochs} epochs{self._time_left()})"
        )

    def _time_left(self) -> str:
        left = self._estimate.left
        return "" if left is None else f", {duration(left)} left"

    def _refresh(self) -> None:
        if self._live:
            self._live.update(Group(*self._parts()), refresh=True)

    def _parts(self) -> Iterator[RenderableType]:
        """The live display from top to bottom: running trials, all epochs, the best trial."""
        yield self._trial_table()
        if len(self._running) > _LISTED_TRIALS:
            yield Text(f" and {len(self._running) - _LISTED_TRIALS} more", style="dim")
        yield self._epoch_bar()
        if self._best:
            yield Text(f" best so far: {self._best[0]:.4f}  {self._best[1]}", style="green")

    def _trial_table(self) -> Table:
        table = Table(box=None, padding=(0, 1), header_style="dim")
        for name in ("trial", "epoch", "val_accuracy", "val_loss", "learning rate", "images/s", "curve"):
            table.add_column(name, justify="left" if name in ("trial", "curve") else "right", no_wrap=True)
        for trial in list(self._running.values())[:_LISTED_TRIALS]:
            accuracies, row = self._accuracies.get(trial.id, []), self._last_rows.get(trial.id)
            numbers = ["", "", "", ""]
            if row:
                numbers = [f"{row['val_accuracy']:.4f}", f"{row['val_loss']:.4f}", rate(row["learning_rate"])]
                numbers.append(f"{row['images_per_second']:.0f}")
            epoch = f"{len(accuracies)}/{trial.recipe.settings.epochs}"
            table.add_row(Text(trial.id), epoch, *numbers, sparkline(accuracies, low=0.0, high=1.0))
        return table

    def _epoch_bar(self) -> Table:
        trained, epochs = self._estimate.trained, self._estimate.epochs
        elapsed = duration(time.monotonic() - self._start)
        line = Table.grid(padding=(0, 1))
        line.add_row(
            Text(f" {trained}/{epochs} epochs"),
            ProgressBar(total=max(epochs, 1), completed=trained, width=_BAR_WIDTH),
            Text(f"{elapsed}{self._time_left()}" if trained else f"{elapsed}, workers are starting"),
        )
        return line


@contextmanager
def counting(console: Console, label: str) -> Iterator["Counter"]:
    """A counter on `console`, for work before the run; `label` names it, such as "decoding images"."""
    counter = Counter(console, label)
    try:
        yield counter
    finally:
        counter.stop()


class Counter:
    """Called as `counter(done, total)`. A terminal shows a bar and the time left; a file gets two lines."""

    def __init__(self, console: Console, label: str) -> None:
        """Nothing is shown before the first call."""
        self._console, self._label = console, label
        self._progress: Progress | None = None
        self._last_refresh: float | None = None

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total` are done; without a terminal, the first call and the last one print a line."""
        now, is_first = time.monotonic(), self._last_refresh is None
        if self._console.is_terminal:
            due = self._last_refresh is None or done == total or now - self._last_refresh > _REFRESH_EVERY
            self._update_bar(done, total, refresh=due)
            self._last_refresh = now if due else self._last_refresh
        elif is_first or done == total:
            self._console.print(f"{self._label} {done}/{total}", highlight=False)
            self._last_refresh = now

    def _update_bar(self, done: int, total: int, refresh: bool) -> None:
        if self._progress is None:
            self._progress = Progress(
                TextColumn(" {task.description}", markup=False),
                BarColumn(_BAR_WIDTH),
                MofNCompleteColumn(),
                TimeRemainingColumn(compact=True),
                console=self._console,
                auto_refresh=False,
                transient=True,
            )
            self._progress.add_task(self._label)
            self._progress.start()
        self._progress.update(self._progress.task_ids[0], completed=done, total=total, refresh=refresh)

    def stop(self) -> None:
        """Leave the terminal as it was."""
        if self._progress:
            self._progress.stop()
            self._progress = None
