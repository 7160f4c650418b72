"""The arguments and options that commands share, and the sweep, store and plan that they name."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from experiments.datasets import Progress
from orchestrator.cli import outputs
from orchestrator.console.live_progress import counting
from orchestrator.planning import plan
from orchestrator.planning.plan import Plan
from orchestrator.planning.root_key import RootFacts
from orchestrator.spec import sweep, yaml_document
from orchestrator.spec.sweep import Sweep
from orchestrator.storage.store import Store

F = TypeVar("F", bound=Callable[..., Any])

for_programs = click.option("--json", "as_json", is_flag=True, help="For programs.")
_overrides = click.option(
    "-S", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting, e.g. epochs=3."
)


_RACE = "orchestrator.race"
"""Where the context of a command says that the sweep is a race."""


def _note_race(context: click.Context, option: click.Parameter, value: bool) -> None:
    context.meta[_RACE] = value


_race = click.option(
    "--race",
    is_flag=True,
    expose_value=False,
    callback=_note_race,
    help="Give more seeds only to recipes that may be the best; settings under race: in FILE.",
)


def results(help_text: str) -> Callable[[F], F]:
    """The option `--results`."""
    return click.option("--results", metavar="DIR", callback=outputs.as_results, help=help_text)


def address(help_text: str = "A Ray cluster to run on.  [default: this machine]") -> Callable[[F], F]:
    """The option `--address`."""
    return click.option("--address", metavar="ADDRESS", callback=outputs.not_empty, help=help_text)


def on_sweep(command: F) -> F:
    """What every command on a sweep file takes: `file`, `overrides` and `results`."""
    where = "The results folder, or s3://BUCKET/PREFIX or gs://BUCKET/PREFIX.  [default: ./results]"
    return click.argument("file", type=click.Path(path_type=Path))(_overrides(_race(results(where)(command))))


def on_any_sweep(command: F) -> F:
    """The same for a command that needs no sweep file."""
    file = click.argument("file", type=click.Path(path_type=Path), required=False)
    return file(_overrides(results("The results folder.  [default: ./results]")(command)))


def load(file: Path, overrides: tuple[str, ...], results: str | None) -> tuple[Sweep, Store]:
    """The sweep of a file, and its store."""
    race = click.get_current_context().meta.get(_RACE, False)
    loaded = sweep.load(file, yaml_document.parse_overrides(overrides), race)
    return loaded, Store.at(results or loaded.results)


def planned(file: Path, overrides: tuple[str, ...], results: str | None) -> tuple[Plan, Store]:
    """The plan of a sweep file against its store, and the store."""
    loaded, store = load(file, overrides, results)
    return plan.make(loaded, store, root_facts=RootFacts(loaded.trainer, progress)), store


def progress(label: str) -> AbstractContextManager[Progress]:
    """Progress on stderr of what is being counted."""
    return counting(Console(stderr=True), label)
