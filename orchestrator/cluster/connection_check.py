"""Whether a Ray cluster answers at an address and admits this process, in seconds; Ray takes minutes.

Ray's compiled code prints to stderr while it waits, so a process of its own connects.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from experiments.settings import InputError
from orchestrator.cluster import ray_internals

PATIENCE = 30.0
"""Seconds for that process."""


class NotJoined(InputError):
    """Nothing at the address admits this process: the `problem`, and its `fix`."""

    def __init__(self, address: str, problem: str, fix: str) -> None:
        super().__init__(f"--address {address}: {problem}; {fix}")
        self.problem, self.fix = problem, fix


def require(address: str) -> None:
    """Raise NotJoined unless a cluster answers at `address` and has this process's token and versions."""
    if address.startswith("ray://"):
        raise NotJoined(address, "a Ray Client's address, which carries no run", CLIENT_FIX)
    _require_listener(address)
    judge(address, _answer(address))


def _require_listener(address: str) -> None:
    """Raise NotJoined unless something listens at `address`: Ray itself would try for many minutes."""
    host, _, port = address.rpartition(":")
    if address in ("auto", "local") or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, UnicodeError) as error:  # UnicodeError: no host can have this name
        reason = getattr(error, "strerror", None) or error
        raise no_answer(address, reason) from None


def no_answer(address: str, reason: object) -> NotJoined:
    """The error for an `address` at which no cluster answers."""
    return NotJoined(address, f"no Ray cluster answers there ({reason})", NO_ANSWER_FIX)


def judge(address: str, answer: Mapping[str, str]) -> None:
    """Raise NotJoined where the cluster's `answer` (its versions, or an error) excludes this process."""
    error = answer.get("error", "")
    if error == "AuthenticationError":
        raise NotJoined(address, _token_problem(answer["message"]), TOKEN_FIX)
    if error:
        raise no_answer(address, _first_line(answer["message"]))
    cluster_versions = f"Ray {answer['ray_version']} on Python {answer['python_version']}"
    import ray

    versions = f"Ray {ray.__version__} on Python {'.'.join(map(str, sys.version_info[:3]))}"
    if cluster_versions != versions:
        raise NotJoined(
            address,
            f"the cluster runs {cluster_versions}, this process {versions}",
            "install the same versions on every node and here, the project from one requirements.lock",
        )


CLIENT_FIX = "give the head's own address, host:6379, on a machine of the cluster, or use `sweep submit`"
NO_ANSWER_FIX = "start one with `ray start --head` or give its address"
TOKEN_FIX = (
    "set RAY_AUTH_MODE=token here and copy the head's ~/.ray/auth_token (or the file that RAY_AUTH_TOKEN_PATH "
    "names) to this machine, mode 0600"
)


def _token_problem(message: str) -> str:
    if "no authentication token was found" in message:
        return "token mode is on, but there is no token here"
    if "RAY_AUTH_MODE is currently 'disabled'" in message:
        return "the cluster asks for a token, and token mode is off here"
    return "the cluster does not accept the token that is here"


def _answer(address: str) -> dict[str, Any]:
    """The cluster's versions, or an `error` and its `message`."""
    try:
        process = subprocess.run(
            [sys.executable, "-P", ray_internals.__file__, address],  # -P: the folder hides no library
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, **ray_internals.CONNECT_LIMITS},
            check=False,
        )
        answer: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"error": "Timeout", "message": f"nothing in {PATIENCE:.0f} s"}
    except (IndexError, ValueError):
        return {"error": "Ended", "message": _first_line(process.stderr)}
    return answer


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else "no reason given"
