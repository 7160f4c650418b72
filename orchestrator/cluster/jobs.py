"""A sweep as a job of Ray's on a cluster: submitting it, watching it, stopping it.

The job is `sweep run` on the head, so it goes on whatever becomes of the machine that submitted it; the store
knows how far it is. All that this machine does is watch.
"""

import asyncio
import hashlib
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

from experiments.object_store import is_address
from experiments.settings import InputError
from orchestrator.cluster.ray_session import passed_on
from orchestrator.cluster.ssh_tunnel import tunnel
from orchestrator.spec import trials
from orchestrator.spec.sweep import Sweep
from orchestrator.storage.store import require_sweep_name

ANSWER = 10.0
"""Seconds for a job server to answer."""
PATIENCE = 60.0
"""Seconds for a connection that was lost to come back, before watching ends."""
STOPPING = 30.0
"""Seconds for a job to stop."""
NOT_COPIED = (".git", ".venv", "__pycache__", "*.egg-info", "/results", "/data")
_OVER = ("SUCCEEDED", "FAILED", "STOPPED")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """Where the job server is: at an http address, or behind the head of a cluster file."""

    address: str | None
    cluster: Path

    def __str__(self) -> str:
        """As the command line gives it."""
        return f"--address {self.address}" if self.address is not None else f"--cluster {self.cluster}"


@dataclass(frozen=True)
class Request:
    """`sweep run` as it is to run on the cluster: the file as given, its checked content, where the results go."""

    file: Path
    sweep: Sweep
    overrides: Sequence[str]
    results: str

    @property
    def metadata(self) -> dict[str, str]:
        """What tells this sweep's jobs from others, and one state of its file from another."""
        document = json.dumps(self.sweep.document, sort_keys=True, default=str)
        settings = hashlib.sha256(document.encode()).hexdigest()
        return {"sweep": self.sweep.name, "results": self.results, "settings": settings}

    @property
    def command(self) -> str:
        """The job's entry point, for a shell on the head in a copy of this folder."""
        variables = {**passed_on(), "COLUMNS": "115"}
        run = ["python", "-m", "orchestrator.cli", "run", self.file.as_posix(), "--address", "auto"]
        overrides = [part for text in self.overrides for part in ("-S", text)]
        given = [f"{name}={value}" for name, value in variables.items()]
        return shlex.join(["env", *given, *run, "--results", self.results, *overrides])


def request(file: Path, sweep: Sweep, overrides: Sequence[str], results: str | None) -> Request:
    """Check that a sweep can run elsewhere. Raises InputError for what only this machine would see."""
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
    inside = Path(os.path.relpath(file))
    if inside.is_absolute() or ".." in inside.parts:
        raise InputError(f"{file}: lies outside this folder, which is what the cluster gets a copy of; go there")
    return Request(inside, sweep, tuple(overrides), results)


@contextmanager
def server(place: Place) -> Iterator[Any]:
    """Ray's client of the job server. Raises InputError when none answers, or it refuses the token."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    if place.address is None:
        with tunnel(place.cluster) as address:
            yield _client(address, str(place))
        return
    if not place.address.startswith(("http://", "https://")):
        raise InputError(f"{place}: expected the job server's address, such as http://127.0.0.1:8265")
    yield _client(place.address, str(place))


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
        handler.setLevel(logging.ERROR)  # it tells of every file that it leaves out
    try:
        return JobSubmissionClient(address)
    except AuthenticationError as error:
        wrong = "Authentication failed" in str(error)
        reason = "has another token than it" if wrong else "has no token for it"
        raise InputError(
            f"{name}: the cluster asks for a token, and this machine {reason}; copy the cluster's "
            "~/.ray/auth_token here, to the same place"
        ) from None
    except (RuntimeError, ConnectionError, ValueError, KeyError, OSError) as error:
        raise InputError(f"{name}: no job server of Ray's answers there ({error})") from None


def submit(asked: Request, place: Place, say: Say) -> str:
    """Begin the job, or find it where it runs already; its id. Raises InputError."""
    with server(place) as client:
        for job in running(client, asked.sweep.name, asked.results):
            if job.metadata["settings"] != asked.metadata["settings"]:
                raise InputError(
                    f"sweep {asked.sweep.name!r} runs with other settings, as job {job.submission_id}; "
                    "wait for it, or stop it with `sweep stop`"
                )
            say(f"sweep {asked.sweep.name!r} runs already; watching it")
            return str(job.submission_id)
        working = {"working_dir": os.getcwd(), "excludes": _excludes(asked)}
        try:
            return str(
                client.submit_job(
                    entrypoint=asked.command,
                    submission_id=f"sweep-{asked.sweep.name}-{uuid4().hex[:8]}",
                    metadata=asked.metadata,
                    runtime_env=working,
                )
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise InputError(f"{place}: the job cannot be submitted: {error}") from None


def running(client: Any, sweep: str, results: str | None) -> list[Any]:
    """The jobs of this sweep, in this results folder if one is given, that are not over."""
    return [
        job
        for job in client.list_jobs()
        if job.status not in _OVER
        and (job.metadata or {}).get("sweep") == sweep
        and results in (None, job.metadata.get("results"))
    ]


def _excludes(asked: Request) -> list[str]:
    """What stays here of this folder, as patterns of a .gitignore."""
    folder = Path.cwd()
    paths = {asked.results, *(t.recipe.settings.data.path for t in trials.trials(asked.sweep))}
    own = [f"/{Path(p).relative_to(folder)}" for p in paths if p and Path(p).is_relative_to(folder)]
    return [*NOT_COPIED, *sorted(own)]


def watch(job: str, place: Place, say: Callable[[str], None]) -> int:
    """Pass on what the job says, as it comes, until it is over; the exit code of its `sweep run`.

    A connection that is lost is sought again for a minute. Raises InputError when it does not come back; the job
    goes on then, as it does after KeyboardInterrupt.
    """
    said, lost = 0, 0.0
    while True:
        try:
            with server(place) as client:
                info = _info(client, job, place)
                lost = 0.0
                said = asyncio.run(_follow(client, job, said, say))
                info = _info(client, job, place)
                while info.status not in _OVER:
                    time.sleep(0.2)
                    info = _info(client, job, place)
                return _exit_code(info, say)
        except (_Lost, InputError) as error:
            if isinstance(error, _Unknown):
                raise
            said = max(said, error.said) if isinstance(error, _Lost) else said
            if not lost:
                say(f"the connection to the cluster is lost; job {job} goes on there; connecting again")
                lost = time.monotonic()
            elif time.monotonic() > lost + PATIENCE:
                raise InputError(
                    f"{place}: cannot be reached any more; job {job} goes on if its head does: run the same "
                    f"command again to watch it. {error}"
                ) from None
            time.sleep(1)


class _Lost(Exception):
    """The connection broke after `said` characters."""

    def __init__(self, said: int) -> None:
        super().__init__("the connection broke")
        self.said = said


class _Unknown(InputError):
    """The cluster does not know the job."""


async def _follow(client: Any, job: str, said: int, say: Callable[[str], None]) -> int:
    """Say what the job has said from character `said` on; how many characters there are in all."""
    at = 0
    try:
        async for text in client.tail_job_logs(job):
            new = text[max(said - at, 0) :]
            at += len(text)
            said = max(said, at)
            if new:
                say(new.removesuffix("\n"))
    except (RuntimeError, OSError) as error:
        raise _Lost(said) from error
    return said


def _info(client: Any, job: str, place: Place) -> Any:
    try:
        return client.get_job_info(job)
    except RuntimeError as error:
        if "404" in str(error):
            raise _Unknown(
                f"{place}: the cluster does not know job {job}; it was started anew. Submit the sweep again: "
                "nothing finished is lost"
            ) from None
        raise _Lost(0) from error
    except OSError as error:
        raise _Lost(0) from error


def _exit_code(info: Any, say: Callable[[str], None]) -> int:
    if info.status == "SUCCEEDED":
        return 0
    if info.status == "STOPPED":
        say("the job was stopped; everything finished is kept, submit the sweep again to go on")
        return 130
    if info.driver_exit_code:
        return int(info.driver_exit_code)
    say(f"the job failed: {info.message}")
    return 1


def stop(sweep: str, results: str | None, place: Place) -> list[str]:
    """Stop the sweep's jobs and wait until they are over; their ids. Raises InputError when none runs."""
    with server(place) as client:
        found = [str(job.submission_id) for job in running(client, sweep, results)]
        if not found:
            where = f" into {results}" if results else ""
            raise InputError(f"{place}: no job of sweep {sweep!r}{where} runs there")
        for job in found:
            client.stop_job(job)
        until = time.monotonic() + STOPPING
        while any(client.get_job_status(job) not in _OVER for job in found):
            if time.monotonic() > until:
                raise InputError(f"{place}: job {', '.join(found)} does not stop; look at it with `ray job logs`")
            time.sleep(0.2)
    return found
