"""The command line's verbs for clusters: `sweep submit` and `sweep stop`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from orchestrator.cli import outputs
from orchestrator.spec import sweep, yaml_document

F = TypeVar("F", bound=Callable[..., Any])


def add(group: click.Group, common: Callable[[Any], Any], talk: Callable[[str], None]) -> None:
    """Give `group` the verbs. `common` adds what every verb on a sweep file takes; `talk` speaks to people."""

    @group.command("submit")
    @common
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

        checked = sweep.load(file, yaml_document.parse_overrides(overrides))
        asked, place = jobs.request(file, checked, overrides, results), jobs.Place(address, cluster)
        job = jobs.submit(asked, place, talk)
        click.echo(job)
        if no_watch:
            return 0
        try:
            return jobs.watch(job, place, talk)
        except KeyboardInterrupt:
            talk(f"no longer watching; job {job} goes on. The same command watches it again, `sweep stop` ends it")
            return 130

    @group.command("stop")
    @common
    @_on_cluster
    def stop_command(
        file: Path, overrides: tuple[str, ...], results: str | None, address: str | None, cluster: Path
    ) -> None:
        """Stop the sweep's job on a cluster. Everything finished is kept."""
        from orchestrator.cluster import jobs

        checked = sweep.load(file, yaml_document.parse_overrides(overrides))
        for job in jobs.stop(checked.name, results, jobs.Place(address, cluster)):
            click.echo(job)


def _on_cluster(command: F) -> F:
    """Where the job server of a cluster is."""
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
