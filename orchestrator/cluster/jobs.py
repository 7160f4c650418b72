"""A sweep as a Ray job on a cluster: submit it, watch it, stop it.

The job is `sweep run` on the head, so it continues without the machine that submitted it, and its progress is in
the store. This machine only watches.
"""

import asyncio
import json
import logging
import os
import shlex
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from experiments.files import sha256
from experiments.object_store import is_address
from experiments.settings import InputError
from orchestrator.cluster.ray_session import forwarded_variables
from orchestrator.cluster.ssh_tunnel import tunnel
from orchestrator.spec import trials
from orchestrator.spec.sweep import Sweep
from orchestrator.storage.sweep_names import require_sweep_name

ANSWER = 10.0
"""Seconds for a job server to answer."""
PATIENCE = 60.0
"""Seconds to restore a lost connection, before watching ends."""
STOPPING = 30.0
"""Seconds for a job to stop."""
NOT_COPIED = (".git", ".venv", "__pycache__", "*.egg-info", "/results", "/data")
_OVER = ("SUCCEEDED", "FAILED", "STOPPED")

Notify = Callable[[str], None]
"""Shows one message to people."""


@dataclass(frozen=True)
class ServerAddress:
    """Where the job server listens: at an http `address`, or on the head of a `cluster` file."""

    address: str | None
    cluster: Path

    def __str__(self) -> str:
        """As the command line gives it."""
        return f"--address {self.address}" if self.address is not None else f"--cluster {self.cluster}"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A `sweep run` on the cluster: the file's path, its checked content, the overrides, the results folder."""

    file: Path
    sweep: Sweep
    overrides: Sequence[str]
    results: str

    @property
    def metadata(self) -> dict[str, str]:
        """The sweep, its results and a hash of its settings: they identify its jobs."""
        document = json.dumps(self.sweep.document, sort_keys=True, default=str)
        settings = sha256(document.encode())
        return {"sweep": self.sweep.name, "results": self.results, "settings": settings}

    @property
    def command(self) -> str:
        """The job's entry point, for a shell on the head in a copy of the current folder."""
        variables = {**forwarded_variables(), "COLUMNS": "115"}
        run = ["python", "-m", "orchestrator.cli", "run", self.file.as_posix(), "--address", "auto"]
        overrides = [part for text in self.overrides for part in ("-S", text)]
        assignments = [f"{name}={value}" for name, value in variables.items()]
        return shlex.join(["env", *assignments, *run, "--results", self.results, *overrides])


def request(file: Path, sweep: Sweep, overrides: Sequence[str], results: str | None) -> Request:
    """A sweep's Request. Raises InputError for paths that only this machine sees."""
    require_sweep_name(sweep.name)
    results = results or sweep.results
    if not is_address(results) and not os.path.isabs(results):
        raise InputError(
            f"results: {results!r} is relative to this machine; give --results with an absolute path of a folder "
            "that every node of the cluster sees"
        )
    for path in dict.fromkeys(trial.recipe.settings.data.path for trial in trials.trials(sweep)):
        if path is not None and not is_address(path) and not os.path.isabs(path):
            raise InputError(
                f"data.path: {path!r} is relative to this machine; give -S data.path= with an absolute path that "
                "every node of the cluster sees, or a bucket's address"
            )
    relative = Path(os.path.relpath(file))
    if relative.is_absolute() or ".." in relative.parts:
        raise InputError(f"{file}: lies outside this folder, which is what the cluster gets a copy of; go there")
    return Request(file=relative, sweep=sweep, overrides=tuple(overrides), results=results)


@contextmanager
def server(server_address: ServerAddress) -> Iterator[Any]:
    """Ray's client of the job server. Raises InputError when none answers, or it refuses the token."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    if server_address.address is None:
        with tunnel(server_address.cluster) as address:
            yield _client(address, str(server_address))
        return
    if not server_address.address.startswith(("http://", "https://")):
        raise InputError(f"{server_address}: expected the job server's address, such as http://127.0.0.1:8265")
    yield _client(server_address.address, str(server_address))


def _client(address: str, name: str) -> Any:
    try:
        urllib.request.urlopen(f"{address.rstrip('/')}/api/version", timeout=ANSWER).close()
    except urllib.error.HTTPError as error:
        if error.code not in (401, 403):
            raise InputError(f"{name}: what answers there is no job server of Ray's ({error})") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(f"{name}: no job server of Ray's answers there ({reason}); is Ray running?") from None
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    for handler in logging.getLogger("ray").handlers:
        handler.setLevel(logging.ERROR)  # at lower levels it lists every excluded file
    try:
        return JobSubmissionClient(address)
    except AuthenticationError as error:
        has_token = "Authentication failed" in str(error)
        reason = "has another token than it" if has_token else "has no token for it"
        raise InputError(
            f"{name}: the cluster asks for a token, and this machine {reason}; copy the cluster's "
            "~/.ray/auth_token here, to the same place"
        ) from None
    except (RuntimeError, ConnectionError, ValueError, KeyError, OSError) as error:
        raise InputError(f"{name}: no job server of Ray's answers there ({error})") from None


def submit(job_request: Request, server_address: ServerAddress, notify: Notify) -> str:
    """Begin the job, unless it is already running; gives its id. Raises InputError."""
    sweep = job_request.sweep.name
    with server(server_address) as client:
        for job in running(client, sweep, job_request.results):
            if job.metadata["settings"] != job_request.metadata["settings"]:
                raise InputError(
                    f"sweep {sweep!r} runs with other settings, as job {job.submission_id}; "
                    "wait for it, or stop it with `sweep stop`"
                )
            notify(f"sweep {sweep!r} runs already; watching it")
            return str(job.submission_id)
        try:
            return str(
                client.submit_job(
                    entrypoint=job_request.command,
                    submission_id=f"sweep-{sweep}-{uuid4().hex[:8]}",
                    metadata=job_request.metadata,
                    runtime_env={"working_dir": os.getcwd(), "excludes": _excludes(job_request)},
                )
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise InputError(f"{server_address}: the job cannot be submitted: {error}") from None


def running(client: Any, sweep: str, results: str | None) -> list[Any]:
    """The unfinished jobs of this sweep, with `results` only those into that folder."""
    return [
        job
        for job in client.list_jobs()
        if job.status not in _OVER
        and (job.metadata or {}).get("sweep") == sweep
        and results in (None, job.metadata.get("results"))
    ]


def _excludes(job_request: Request) -> list[str]:
    """The files of the current folder that the cluster does not need, as patterns of a .gitignore."""
    folder = Path.cwd()
    paths = {job_request.results, *(t.recipe.settings.data.path for t in trials.trials(job_request.sweep))}
    local = [f"/{Path(p).relative_to(folder)}" for p in paths if p and Path(p).is_relative_to(folder)]
    return [*NOT_COPIED, *sorted(local)]


def watch(job: str, server_address: ServerAddress, notify: Notify) -> int:
    """Show the job's log as it grows until the job ends; gives the exit code of its `sweep run`.

    A lost connection is restored for up to a minute. Raises InputError after that; the job continues, as it does
    after KeyboardInterrupt.
    """
    printed, lost_since = 0, 0.0
    while True:
        try:
            with server(server_address) as client:
                info = _info(client, job, server_address)
                lost_since = 0.0
                printed = asyncio.run(_follow(client, job, printed, notify))
                info = _info(client, job, server_address)
                while info.status not in _OVER:
                    time.sleep(0.2)
                    info = _info(client, job, server_address)
                return _exit_code(info, notify)
        except (_ConnectionLost, InputError) as error:
            if isinstance(error, _UnknownJob):
                raise
            printed = max(printed, error.printed) if isinstance(error, _ConnectionLost) else printed
            if not lost_since:
                notify(f"the connection to the cluster is lost; job {job} goes on there; connecting again")
                lost_since = time.monotonic()
            elif time.monotonic() > lost_since + PATIENCE:
                raise InputError(
                    f"{server_address}: cannot be reached any more; job {job} goes on if its head does: run the "
                    f"same command again to watch it. {error}"
                ) from None
            time.sleep(1)


class _ConnectionLost(Exception):
    """The connection broke after `printed` characters of the log."""

    def __init__(self, printed: int) -> None:
        super().__init__("the connection broke")
        self.printed = printed


class _UnknownJob(InputError):
    """The cluster does not know the job."""


async def _follow(client: Any, job: str, printed: int, notify: Notify) -> int:
    """Show the job's log from character `printed` on; gives the length of the log."""
    position = 0
    try:
        async for text in client.tail_job_logs(job):
            addition = text[max(printed - position, 0) :]
            position += len(text)
            printed = max(printed, position)
            if addition:
                notify(addition.removesuffix("\n"))
    except (RuntimeError, OSError) as error:
        raise _ConnectionLost(printed) from error
    return printed


def _info(client: Any, job: str, server_address: ServerAddress) -> Any:
    try:
        return client.get_job_info(job)
    except RuntimeError as error:
        if "404" in str(error):
            raise _UnknownJob(
                f"{server_address}: the cluster does not know job {job}; it was started anew. Submit the sweep "
                "again: nothing finished is lost"
            ) from None
        raise _ConnectionLost(0) from error
    except OSError as error:
        raise _ConnectionLost(0) from error


def _exit_code(info: Any, notify: Notify) -> int:
    if info.status == "SUCCEEDED":
        return 0
    if info.status == "STOPPED":
        notify("the job was stopped; everything finished is kept, submit the sweep again to go on")
        return 130
    if info.driver_exit_code:
        return int(info.driver_exit_code)
    notify(f"the job failed: {info.message}")
    return 1


def stop(sweep: str, results: str | None, server_address: ServerAddress) -> list[str]:
    """Stop the sweep's jobs and wait for their end; gives their ids. Raises InputError when none runs."""
    with server(server_address) as client:
        jobs = [str(job.submission_id) for job in running(client, sweep, results)]
        if not jobs:
            folder = f" into {results}" if results else ""
            raise InputError(f"{server_address}: no job of sweep {sweep!r}{folder} runs there")
        for job in jobs:
            client.stop_job(job)
        deadline = time.monotonic() + STOPPING
        while any(client.get_job_status(job) not in _OVER for job in jobs):
            if time.monotonic() > deadline:
                raise InputError(
                    f"{server_address}: job {', '.join(jobs)} does not stop; look at it with `ray job logs`"
                )
            time.sleep(0.2)
    return jobs
