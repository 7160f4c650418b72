"""A cluster on hosts of its own, brought up as orchestrator/cluster/README.md says, from the laptop."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from orchestrator.storage.history import Row
from orchestrator.storage.store import Store
from tests.support.command import ROOT
from tests.support.hosts import Host, Hosts, hosts, missing

VENV = Path(sys.prefix)
README = (
    (ROOT / "orchestrator/cluster/README.md")
    .read_text()
    .partition("## Your own machines")[2]
    .partition("\n## ")[0]
)
TO_LOOK_AT = {
    "192.168.1.10": "10.77.0.11",
    "192.168.1.11": "10.77.0.12",
    "192.168.1.12": "10.77.0.13",
    "ubuntu": "root",
    "--head": "--num-cpus=1 --object-store-memory=200000000 --head",
    "--address": "--num-cpus=1 --object-store-memory=200000000 --address",
}
"""What a user would change in cluster-local.yaml, and one core a host: there are not more here."""


def readme(begins: str) -> str:
    """The command of the section on own machines that begins like this, as it stands there."""
    (command,) = re.findall(rf"^\$ ({re.escape(begins)}.*?)(?:  +#.*)?$", README, re.MULTILINE)
    return str(command)


@dataclass(frozen=True)
class Cluster:
    """Hosts with a head and workers, and the project on the laptop."""

    hosts: Hosts
    seconds_up: float

    @property
    def project(self) -> Path:
        """The folder in which the laptop's commands run."""
        return self.hosts.laptop.home / "sweep"

    @property
    def store(self) -> Store:
        """The store that all hosts share."""
        return Store.at(str(self.results))

    @property
    def results(self) -> Path:
        """Its folder."""
        return self.hosts.shared / "results"

    def begin(self, command: str) -> "subprocess.Popen[str]":
        """A command on the laptop, in the project's folder; what it says comes through its stdout."""
        return self.hosts.laptop.start(f". .venv/bin/activate && exec {command}", self.project)

    def run(self, command: str, timeout: float = 120) -> tuple[int, str]:
        """Exit code and output of a command on the laptop, in the project's folder."""
        return self.hosts.laptop.run(f". .venv/bin/activate && {command}", self.project, timeout)

    def up(self) -> None:
        """Bring the cluster up, and wait until every host has joined; Ray gives a slow machine half a minute."""
        code, said = self.run(readme("ray up"), timeout=200)
        if code != 0:
            code, said = self.run(readme("ray up"), timeout=200)
        assert code == 0, said
        size = 1 + len(self.hosts.workers)
        until = time.monotonic() + 200
        while f"/{size}.0 CPU" not in said:
            assert time.monotonic() < until, said
            said = self.run(readme("ray exec"))[1]

    def rows(self, sweep: str, host: str | None = None, since: datetime | None = None) -> list[Row]:
        """The epochs recorded, of one host if given, begun at or after `since`."""
        tables = self.store.history(sweep)[0].values()
        every = [row for table in tables for row in table.to_pylist()]
        return [r for r in every if host in (None, r["host"]) and (since is None or r["started_at"] >= since)]

    def await_rows(
        self, sweep: str, host: str | None = None, since: datetime | None = None, seconds: float = 240
    ) -> float:
        """Seconds until there is such an epoch."""
        began = time.monotonic()
        while not self.rows(sweep, host, since):
            assert time.monotonic() < began + seconds, f"no epoch on {host or 'any host'} within {seconds} s"
            time.sleep(0.25)
        return time.monotonic() - began


def install(host: Host) -> None:
    """The environment that these tests run in, where `make install` would put one: it finds it up to date."""
    environment = host.home / "sweep" / ".venv"
    environment.mkdir(parents=True)
    for name in ("bin", "include", "lib", "pyvenv.cfg"):
        (environment / name).symlink_to(VENV / name)
    (environment / ".installed").touch()


def checkout(folder: Path) -> None:
    """The project as it is in this folder, under version control or new."""
    leave = [f"--exclude=/{name}" for name in (".git", ".venv", "results", "data", "build")]
    subprocess.run(["rsync", "-a", *leave, f"{ROOT}/", f"{folder}/"], check=True)


@pytest.fixture(scope="session")
def cluster(_environment: None) -> Iterator[Cluster]:
    """A head and two workers on hosts of their own, up and ready."""
    reason = missing(ROOT, VENV, Path(os.path.realpath(sys.executable)))
    if reason:
        pytest.skip(reason)
    with hosts(workers=2) as made:
        for host in (made.laptop, made.head, *made.workers):
            install(host)
        made_cluster = Cluster(made, 0.0)
        checkout(made_cluster.project)
        edits = made.laptop.home / "edits.sed"
        edits.write_text("\n".join(f"s/{example}/{own}/" for example, own in TO_LOOK_AT.items()))
        made.laptop.variables["EDITOR"] = f"sed -i -f {edits}"
        for begins in ("make install", "ray get-auth-token", "cp", "$EDITOR"):
            code, said = made_cluster.run(readme(begins))
            assert code == 0, said
        began = time.monotonic()
        made_cluster.up()
        yield Cluster(made, time.monotonic() - began)
