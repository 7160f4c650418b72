"""The command `sweep`: parsing, calling, exit codes, and nothing else.

Data goes to stdout, talk to stderr. Exit codes: 0 all done; 1 some trials failed; 2 bad usage or file; 3 store
damaged; 130 interrupted.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from rich.console import Console

from orchestrator.analysis import status
from orchestrator.cli import cluster_commands, exits, help_topics, outputs
from orchestrator.console import plan_and_status, timeline
from orchestrator.console.live_progress import Display, counting
from orchestrator.doctor.check import Check
from orchestrator.planning import lr_range_tests, plan
from orchestrator.planning.plan import Plan
from orchestrator.planning.root_key import RootFacts
from orchestrator.report import formats, json
from orchestrator.spec import sweep, yaml_document
from orchestrator.spec.sweep import Sweep
from orchestrator.storage.filesystem import DamagedError
from orchestrator.storage.store import Store

F = TypeVar("F", bound=Callable[..., Any])
LOOKS = 4
"""Files that look damaged so many times are."""
PLAN_FORMATS = ("terminal", "json", "html")


def main() -> NoReturn:
    """The entry point: runs the command line and leaves with its exit code."""
    exits.leave(lambda: cli.main(standalone_mode=False))


def _common(command: F) -> F:
    """What every verb on a sweep file takes."""
    options = (
        click.argument("file", type=click.Path(path_type=Path)),
        click.option(
            "-S", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting, e.g. epochs=3."
        ),
        click.option(
            "--results",
            metavar="DIR",
            callback=outputs.as_results,
            help="The results folder, or s3://BUCKET/PREFIX or gs://BUCKET/PREFIX.  [default: ./results]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _open(file: Path, overrides: tuple[str, ...], results: str | None, share: bool = True) -> tuple[Plan, Store]:
    """The plan of a sweep file against its store."""
    checked, store = _load(file, overrides, results)
    return plan.make(checked, store, share, _root_facts(checked)), store


def _load(file: Path, overrides: tuple[str, ...], results: str | None) -> tuple[Sweep, Store]:
    """A sweep file, and its store."""
    checked = sweep.load(file, yaml_document.parse_overrides(overrides))
    return checked, Store.at(results or checked.results)


def _root_facts(checked: Sweep) -> RootFacts:
    talk = Console(stderr=True)
    return RootFacts(checked.trainer, lambda what: counting(talk, what))


def _print_json(value: Any) -> None:
    click.echo(json.text(value))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="sweep-orchestrator", prog_name="sweep")
def cli() -> None:
    """Which optimizer and which learning-rate schedule should I train with, and how sure is that?

    A sweep file names optimizers, schedules and seeds; every combination is a trial. No epoch that is in the
    results folder is ever trained again.
    """


@cli.command("plan")
@_common
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
    """Show what would run: trials, epochs, how many of them are new, and every schedule's curve."""
    from orchestrator.console import schedule_curves as drawn

    if output is not None:
        outputs.require_file("--output", output)
    planned, store = _open(file, overrides, results)
    text = io.StringIO()
    kind = "json" if as_json else kind
    if kind == "json":
        text.write(json.text(plan_and_status.as_json(planned)) + "\n")
    elif kind == "html":
        text.write(drawn.page(planned, store))
    else:
        console = Console(file=text, width=120) if output else Console()
        plan_and_status.render(planned, store, console)
        if curves:
            drawn.render(planned, console)
    if output is not None:
        outputs.write_file("--output", output, _encoded(text.getvalue()))
    elif text.getvalue():
        click.echo(text.getvalue(), nl=False)


@cli.command("run")
@_common
@click.option(
    "--address",
    metavar="ADDRESS",
    callback=outputs.not_empty,
    help="A Ray cluster to run on.  [default: this machine]",
)
@click.option("--tensorboard", metavar="DIR", callback=outputs.as_path, help="Write TensorBoard event files.")
@click.option("--no-share", is_flag=True, help="Train every trial by itself, without common beginnings.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
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
    from orchestrator.execution import range_tests, recorder, run, session

    talk = Console(stderr=True)
    if tensorboard is not None:
        outputs.require_folder("--tensorboard", tensorboard)
    planned, store = _open(file, overrides, results, share=not no_share)
    store.probe()
    session.prepare((t.recipe for t in planned.unfinished), lambda what: counting(talk, what))
    with session.session(planned, store, address) as findings, store.lock(planned.sweep.name):
        _say(findings)
        if planned.open_tests:
            store.create()
            if range_tests.run(planned.open_tests, planned.sweep.trainer, store, exits.talk):
                return 1
        recorder.take_over(store, planned.sweep.name)
        planned = plan.make(planned.sweep, store, not no_share, planned.root_facts)
        with Display(planned, talk) as display:
            listener = EventFiles(planned, tensorboard, display) if tensorboard else display
            outcome = run.run(planned, store, listener)
    after = plan.make(planned.sweep, store, root_facts=planned.root_facts) if outcome.trained else planned
    if as_json:
        _print_json(plan_and_status.outcome_json(after, store, outcome))
    else:
        _report_terminal(after, store, full=False)
        exits.talk(plan_and_status.outcome_line(outcome))
    return 1 if outcome.failed else 0


@cli.command("status")
@_common
@click.option("--timeline", "with_timeline", is_flag=True, help="Draw which worker trained which trial when.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status_command(
    file: Path, overrides: tuple[str, ...], results: str | None, with_timeline: bool, as_json: bool
) -> None:
    """Show where a sweep stands, also while it runs elsewhere."""
    planned, store = _open(file, overrides, results)
    since = store.read_run(planned.sweep.name).get("since")
    drawn = timeline.of_run(planned.history, since) if with_timeline else []
    if as_json:
        state = status.status(planned, store)
        _print_json({**state, "timeline": timeline.as_json(drawn)} if with_timeline else state)
        return
    plan_and_status.render_status(planned, store, Console())
    if with_timeline:
        timeline.render(drawn, Console())


@cli.command("report")
@_common
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
    planned, store = _open(file, overrides, results)
    planned = _undamaged(planned, store)
    if kind == "terminal":
        _report_terminal(planned, store, full, target, output)
    elif output is None:
        click.echo(formats.render(kind, status.comparison(planned, store, target)))
    elif several:
        outputs.write_files("--output", output, formats.files(kind, status.comparison(planned, store, target)))
    else:
        text = formats.render(kind, status.comparison(planned, store, target))
        outputs.write_file("--output", output, _encoded(text))


@cli.command("lr-find")
@_common
@click.option("--optimizer", metavar="NAME", help="Only this one of the sweep's optimizers.")
@click.option(
    "--address",
    metavar="ADDRESS",
    callback=outputs.not_empty,
    help="A Ray cluster to run on.  [default: this machine]",
)
@click.option(
    "--output", metavar="FILE", callback=outputs.as_path, help="A picture as well: FILE.svg or FILE.png."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def lr_find_command(
    file: Path,
    overrides: tuple[str, ...],
    results: str | None,
    optimizer: str | None,
    address: str | None,
    output: Path | None,
    as_json: bool,
) -> int:
    """Test the range of learning rates of each optimizer; no ramp is ever run twice."""
    from orchestrator.execution import range_tests, session
    from orchestrator.report import lr_range_test

    if output is not None:
        if output.suffix not in (".svg", ".png"):
            raise click.UsageError(f"--output: expected FILE.svg or FILE.png, got {output}")
        outputs.require_file("--output", output)
    talk = Console(stderr=True)
    checked, store = _load(file, overrides, results)
    root_facts = _root_facts(checked)
    tests, damaged = lr_range_tests.of_optimizers(checked, root_facts, store, optimizer)
    missing = [test for test in tests if test.curve is None]
    failed: dict[str, str] = {}
    if missing:
        recipes = [test.recipe for test in missing]
        store.probe()
        session.prepare(recipes, lambda what: counting(talk, what))
        ray_session = session.session_for(recipes, checked.trainer, store, address)
        with ray_session as findings, store.lock(checked.name):
            _say(findings)
            store.create()
            for damage in damaged:
                exits.talk(f"{damage.reason}; set aside as {store.set_aside(damage)}, the test is run again")
            failed = range_tests.run(missing, checked.trainer, store, exits.talk)
        tests, _ = lr_range_tests.of_optimizers(checked, root_facts, store, optimizer)
    curves = [test.measured for test in tests if test.curve] + lr_range_tests.trained(checked, store, optimizer)
    if as_json:
        _print_json(lr_range_test.as_json(checked.name, curves))
    elif curves:
        lr_range_test.render(curves, Console())
    if output is not None and curves:
        outputs.write_file("--output", output, lr_range_test.picture(curves, output.suffix[1:]))
    return 1 if failed else 0


@cli.command("doctor")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("-S", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting, e.g. epochs=3.")
@click.option(
    "--results", metavar="DIR", callback=outputs.as_results, help="The results folder.  [default: ./results]"
)
@click.option(
    "--address",
    metavar="ADDRESS",
    callback=outputs.not_empty,
    help="A Ray cluster, every node of it.  [default: this machine]",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor_command(
    file: Path | None, overrides: tuple[str, ...], results: str | None, address: str | None, as_json: bool
) -> int:
    """Check this machine or a cluster, for any sweep or for that of FILE, with a mend for each failure."""
    from orchestrator.doctor import examination

    if file is None and overrides:
        raise click.UsageError("-S overrides a setting of a sweep file: give the FILE too")
    planned, store = _open(file, overrides, results) if file else (None, None)
    store = store or (Store.at(results) if results else None)
    checks = examination.examine(planned, store, address)
    if as_json:
        _print_json(examination.as_json(checks, planned.sweep.name if planned else None, address))
    else:
        examination.render(checks, Console())
    return 0 if examination.well(checks) else 1


@cli.command("clean")
@_common
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def clean_command(file: Path, overrides: tuple[str, ...], results: str | None, as_json: bool) -> None:
    """Free the checkpoints that no trial needs to go on, to be extended or to be looked at."""
    from orchestrator.planning import checkpoint_retention

    planned, store = _open(file, overrides, results)
    store.probe()
    with store.lock(planned.sweep.name):
        planned = _undamaged(plan.make(planned.sweep, store, root_facts=planned.root_facts), store)
        count, freed = checkpoint_retention.clean(planned, store)
    if as_json:
        _print_json({"sweep": planned.sweep.name, "checkpoints": count, "bytes": freed})
    else:
        click.echo(f"freed {freed / 1e6:,.1f} MB in {count} checkpoints")


def _report_terminal(
    planned: Plan, store: Store, full: bool, target: float | None = None, output: Path | None = None
) -> None:
    from orchestrator.report import terminal

    comparison = status.comparison(planned, store, target)
    if output is None:
        terminal.render(comparison, Console(), full=full)
        return
    text = io.StringIO()
    terminal.render(comparison, Console(file=text, width=120), full=full)
    outputs.write_file("--output", output, _encoded(text.getvalue()))


def _encoded(text: str) -> bytes:
    return text.encode(errors="backslashreplace")


def _say(findings: Sequence[Check]) -> None:
    for found in findings:
        exits.talk(f"{found.state}: {found.name}: {found.found}; {found.mend}")


def _undamaged(planned: Plan, store: Store) -> Plan:
    """The plan, made again where files look damaged: a run may be about to write the second one of a pair."""
    always = {damage.reason for damage in planned.damaged}
    for _ in range(LOOKS - 1):
        if always:
            planned = plan.make(planned.sweep, store, root_facts=planned.root_facts)
            always &= {damage.reason for damage in planned.damaged}
    if not always:
        return planned
    raise DamagedError(f"{'; '.join(sorted(always)[:3])}. `sweep run` sets it aside and makes it again")


cluster_commands.add(cli, _common, exits.talk)
cli.add_command(help_topics.command)
