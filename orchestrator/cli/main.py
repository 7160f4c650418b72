"""The command `sweep`: every command parses, calls and prints, and nothing else.

Data goes to stdout, messages to stderr. Exit codes: 0 all done; 1 some trials failed; 2 bad usage or file; 3 store
damaged; 130 interrupted.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from orchestrator.analysis import status
from orchestrator.analysis.comparison import Comparison
from orchestrator.cli import cluster_commands, exits, help_topics, options, outputs
from orchestrator.console import plan_and_status, timeline
from orchestrator.console.live_progress import Display
from orchestrator.planning import plan
from orchestrator.planning.plan import Plan
from orchestrator.report import formats, json
from orchestrator.storage import sweep_state
from orchestrator.storage.store import Store

PLAN_FORMATS = ("terminal", "json", "html")
PICTURES = (".svg", ".png")


def main() -> NoReturn:
    """The entry point: runs the command line and leaves with its exit code."""
    exits.leave(lambda: cli.main(standalone_mode=False))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="sweep-orchestrator", prog_name="sweep")
def cli() -> None:
    """Which optimizer and which learning-rate schedule should I train with, and how sure is that?

    A sweep file names optimizers, schedules and seeds; every combination is a trial. No epoch that is in the
    results folder is ever trained again.
    """


@cli.command("plan")
@options.on_sweep
@click.option("--curves", is_flag=True, help="Draw every schedule, step by step, in the terminal.")
@click.option("--format", "kind", type=click.Choice(PLAN_FORMATS), default="terminal", show_default=True)
@click.option("--output", metavar="PATH", callback=outputs.as_path, help="A file, instead of the terminal.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def plan_command(
    file: Path,
    overrides: tuple[str, ...],
    results: str | None,
    curves: bool,
    kind: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Show what would run, before anything runs.

    That is: trials, epochs, how many of them are new, time, disk, and every schedule's curve.
    """
    from orchestrator.console import schedule_curves

    if output is not None:
        outputs.require_file("--output", output)
    planned, store = options.planned(file, overrides, results)
    if as_json or kind == "json":
        outputs.print_text(json.text(plan_and_status.as_json(planned)), output)
    elif kind == "html":
        outputs.print_text(schedule_curves.page(planned, store), output, end="")
    else:
        with outputs.console(output) as console:
            plan_and_status.render(planned, store, console)
            if curves:
                schedule_curves.render(planned, console)


@cli.command("run")
@options.on_sweep
@options.address()
@click.option("--tensorboard", metavar="DIR", callback=outputs.as_path, help="Write TensorBoard event files.")
@click.option("--no-share", is_flag=True, help="Train every trial by itself, without common beginnings.")
@options.for_programs
def run_command(
    file: Path,
    overrides: tuple[str, ...],
    results: str | None,
    address: str | None,
    tensorboard: Path | None,
    no_share: bool,
    as_json: bool,
) -> int:
    """Run what is missing, then print the comparison."""
    from orchestrator.console.tensorboard import EventFiles
    from orchestrator.execution.run import run_sweep

    if tensorboard is not None:
        outputs.require_folder("--tensorboard", tensorboard)
    sweep, store = options.load(file, overrides, results)
    with Display(Console(stderr=True)) as display:
        listener = EventFiles(tensorboard, display) if tensorboard else display
        outcome = run_sweep(sweep, store, listener, address, share=not no_share, counting=options.progress)
    if outcome.failed_range_tests:
        return 1
    if as_json:
        state = sweep_state.read(store, sweep.name)
        outputs.print_text(json.text(plan_and_status.outcome_json(state, outcome)))
    else:
        _print_comparison(outcome.plan, store)
        exits.print_message(plan_and_status.outcome_line(outcome))
    return 1 if outcome.failed else 0


@cli.command("status")
@options.on_sweep
@click.option("--timeline", "with_timeline", is_flag=True, help="Draw which worker trained which trial when.")
@options.for_programs
def status_command(
    file: Path, overrides: tuple[str, ...], results: str | None, with_timeline: bool, as_json: bool
) -> None:
    """Show where a sweep stands, also while it runs elsewhere."""
    planned, store = options.planned(file, overrides, results)
    state, now = sweep_state.read(store, planned.sweep.name), datetime.now(UTC)
    lanes = timeline.of_run(planned.history, state.run_started) if with_timeline else []
    if as_json:
        document = status.status(planned, state, now)
        outputs.print_text(
            json.text({**document, "timeline": timeline.as_json(lanes)} if with_timeline else document)
        )
        return
    plan_and_status.render_status(planned, state, now, Console())
    if with_timeline:
        timeline.render(lanes, Console())


@cli.command("report")
@options.on_sweep
@click.option("--format", "kind", type=click.Choice(formats.FORMATS), default="terminal", show_default=True)
@click.option(
    "--output",
    metavar="PATH",
    callback=outputs.as_path,
    help="A file; for svg, png and parquet a folder, for csv either.",
)
@click.option(
    "--target", type=float, help="The validation accuracy to reach.  [default: the median of the finals]"
)
@click.option("--full", is_flag=True, help="All tables in the terminal, not only the first.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def report_command(
    file: Path,
    overrides: tuple[str, ...],
    results: str | None,
    kind: str,
    output: Path | None,
    target: float | None,
    full: bool,
    as_json: bool,
) -> None:
    """Compare the recipes: which wins, and how sure is that?"""
    kind = "json" if as_json else kind
    several = kind in formats.FOLDERS and (kind not in formats.TEXTS or (output is not None and not output.suffix))
    if output is not None:
        (outputs.require_folder if several else outputs.require_file)("--output", output)
    elif several:
        raise click.UsageError(f"--format {kind} writes several files: give --output FOLDER")
    planned, store = options.planned(file, overrides, results)
    planned = plan.undamaged(planned, store)
    if kind == "terminal":
        _print_comparison(planned, store, full, target, output)
    elif several and output is not None:
        outputs.write_files("--output", output, formats.files(kind, _comparison(planned, store, target)))
    else:
        text = formats.render(kind, _comparison(planned, store, target))
        outputs.print_text(text, output, end="" if output else "\n")


@cli.command("lr-find")
@options.on_sweep
@click.option("--optimizer", metavar="NAME", help="Only this one of the sweep's optimizers.")
@options.address()
@click.option(
    "--output", metavar="FILE", callback=outputs.as_path, help="A picture as well: FILE.svg or FILE.png."
)
@options.for_programs
def lr_find_command(
    file: Path,
    overrides: tuple[str, ...],
    results: str | None,
    optimizer: str | None,
    address: str | None,
    output: Path | None,
    as_json: bool,
) -> int:
    """Measure which learning rates suit each optimizer.

    A range test raises the rate at every step and reads the loss. No test is ever run twice.
    """
    from orchestrator.execution.range_tests import find_learning_rates
    from orchestrator.report import lr_range_test

    if output is not None:
        outputs.require_file("--output", output, PICTURES)
    sweep, store = options.load(file, overrides, results)
    outcome = find_learning_rates(sweep, store, exits.print_message, optimizer, address, options.progress)
    if as_json:
        outputs.print_text(json.text(lr_range_test.as_json(sweep.name, outcome.curves)))
    elif outcome.curves:
        lr_range_test.render(outcome.curves, Console())
    if output is not None and outcome.curves:
        outputs.write_file("--output", output, lr_range_test.picture(outcome.curves, output.suffix[1:]))
    return 1 if outcome.failed else 0


@cli.command("doctor")
@options.on_any_sweep
@options.address("A Ray cluster, every node of it.  [default: this machine]")
@options.for_programs
def doctor_command(
    file: Path | None, overrides: tuple[str, ...], results: str | None, address: str | None, as_json: bool
) -> int:
    """Check whether this machine or a cluster can run a sweep.

    With FILE the checks are for that sweep. Each failed check says how to fix it.
    """
    from orchestrator.doctor import examination

    if file is None and overrides:
        raise click.UsageError("-S overrides a setting of a sweep file: give the FILE too")
    planned, store = options.planned(file, overrides, results) if file else (None, None)
    store = store or (Store.at(results) if results else None)
    checks = examination.examine(planned, store, address)
    if as_json:
        name = planned.sweep.name if planned else None
        outputs.print_text(json.text(examination.as_json(checks, name, address)))
    else:
        examination.render(checks, Console())
    return 0 if examination.passes(checks) else 1


@cli.command("clean")
@options.on_sweep
@options.for_programs
def clean_command(file: Path, overrides: tuple[str, ...], results: str | None, as_json: bool) -> None:
    """Free the checkpoints that no trial needs.

    A trial needs one to go on, to be extended, and for its best epoch.
    """
    from orchestrator.planning import checkpoint_retention

    planned, store = options.planned(file, overrides, results)
    freed = checkpoint_retention.clean_sweep(planned, store)
    counts: dict[str, Any] = {"checkpoints": freed.checkpoints, "bytes": freed.bytes}
    if as_json:
        outputs.print_text(json.text({"sweep": planned.sweep.name, **counts}))
    else:
        click.echo(f"freed {freed.bytes / 1e6:,.1f} MB in {freed.checkpoints} checkpoints")


def _comparison(planned: Plan, store: Store, target: float | None = None) -> Comparison:
    return status.comparison(planned, sweep_state.read(store, planned.sweep.name), target)


def _print_comparison(
    planned: Plan, store: Store, full: bool = False, target: float | None = None, output: Path | None = None
) -> None:
    from orchestrator.report import terminal

    comparison = _comparison(planned, store, target)
    with outputs.console(output) as console:
        terminal.render(comparison, console, full=full)


for command in (*cluster_commands.COMMANDS, help_topics.command):
    cli.add_command(command)
