"""The commands for clusters: `sweep submit` and `sweep stop`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from orchestrator.cli import exits, options, outputs
from orchestrator.spec import sweep, yaml_document

F = TypeVar("F", bound=Callable[..., Any])


def _on_cluster(command: F) -> F:
    """The options that name a cluster's job server."""
    options = (
        click.option(
            "--address",
            metavar="URL",
            callback=outputs.not_empty,
            help="The cluster's job server, e.g. http://127.0.0.1:8265.",
        ),
        click.option(
            "--cluster",
            type=click.Path(path_type=Path),
            default=Path("cluster.yaml"),
            show_default=True,
            help="The file the cluster was started with by `ray up`; its head is reached through ssh.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command("submit")
@options.on_sweep
@_on_cluster
@click.option("--no-watch", is_flag=True, help="Return as soon as the job has begun.")
def submit_command(
    file: Path,
    overrides: tuple[str, ...],
    results: str | None,
    address: str | None,
    cluster: Path,
    no_watch: bool,
) -> int:
    """Run a sweep as a job on a cluster, and watch it. Ctrl-C ends the watching only."""
    from orchestrator.cluster import jobs

    loaded = sweep.load(file, yaml_document.parse_overrides(overrides))
    job_request = jobs.request(file, loaded, overrides, results)
    server_address = jobs.ServerAddress(address, cluster)
    job = jobs.submit(job_request, server_address, exits.print_message)
    click.echo(job)
    if no_watch:
        return 0
    try:
        return jobs.watch(job, server_address, exits.print_message)
    except KeyboardInterrupt:
        exits.print_message(
            f"no longer watching; job {job} goes on. The same command watches it again, `sweep stop` ends it"
        )
        return 130


@click.command("stop")
@options.on_sweep
@_on_cluster
def stop_command(
    file: Path, overrides: tuple[str, ...], results: str | None, address: str | None, cluster: Path
) -> None:
    """Stop the sweep's job on a cluster. Everything finished is kept."""
    from orchestrator.cluster import jobs

    loaded = sweep.load(file, yaml_document.parse_overrides(overrides))
    for job in jobs.stop(loaded.name, results, jobs.ServerAddress(address, cluster)):
        click.echo(job)


COMMANDS = (submit_command, stop_command)
