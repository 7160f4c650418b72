"""Whether a Ray cluster answers at an address and lets this process in: asked in seconds, where Ray takes minutes.

Ray prints to stderr from compiled code while it waits, so the question is asked by a process of its own.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from experiments.settings import InputError

PATIENCE = 30.0
_LIMITS = {"RAY_py_gcs_connect_timeout_s": "5", "RAY_gcs_rpc_server_connect_timeout_s": "2"}

_PROGRAM = """
import json, sys
from ray._private import services
from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
from ray._raylet import GcsClient
maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
try:
    address = services.canonicalize_bootstrap_address(sys.argv[1])
    if address is None:
        raise ConnectionError("none is running on this machine")
    answer = json.loads(GcsClient(address=address).internal_kv_get(b"CLUSTER_METADATA", namespace=b"cluster"))
except Exception as error:
    answer = {"error": type(error).__name__, "message": str(error)}
print(json.dumps(answer))
"""


class NotJoined(InputError):
    """The cluster cannot be joined: what was `found`, and its `mend`."""

    def __init__(self, address: str, found: str, mend: str) -> None:
        super().__init__(f"--address {address}: {found}; {mend}")
        self.found, self.mend = found, mend


def require(address: str) -> None:
    """Raise NotJoined unless a cluster answers at `address` that has this process's token and versions."""
    if address.startswith("ray://"):
        raise NotJoined(address, "a Ray Client's address, which carries no run", CLIENT_MEND)
    _refuse_silent(address)
    judge(address, _asked(address))


def _refuse_silent(address: str) -> None:
    """Raise NotJoined unless something listens at `address`: Ray itself would try for many minutes."""
    host, _, port = address.rpartition(":")
    if address in ("auto", "local") or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, UnicodeError) as error:  # the latter for what no name of a host can be
        reason = getattr(error, "strerror", None) or error
        raise NotJoined(address, f"no Ray cluster answers there ({reason})", SILENT_MEND) from None


def judge(address: str, answer: Mapping[str, str]) -> None:
    """Raise NotJoined where the cluster's `answer` (its versions, or an error) keeps this process out."""
    error = answer.get("error", "")
    if error == "AuthenticationError":
        raise NotJoined(address, _refused(answer["message"]), TOKEN_MEND)
    if error:
        raise NotJoined(address, f"no Ray cluster answers there ({_line(answer['message'])})", SILENT_MEND)
    theirs = f"Ray {answer['ray_version']} on Python {answer['python_version']}"
    import ray

    ours = f"Ray {ray.__version__} on Python {'.'.join(map(str, sys.version_info[:3]))}"
    if theirs != ours:
        raise NotJoined(
            address,
            f"the cluster runs {theirs}, this process {ours}",
            "install the same versions on every node and here, the project from one requirements.lock",
        )


CLIENT_MEND = "give the head's own address, host:6379, on a machine of the cluster, or use `sweep submit`"
SILENT_MEND = "start one with `ray start --head` or give its address"
TOKEN_MEND = (
    "set RAY_AUTH_MODE=token here and copy the head's ~/.ray/auth_token (or the file that RAY_AUTH_TOKEN_PATH "
    "names) to this machine, mode 0600"
)


def _refused(message: str) -> str:
    if "no authentication token was found" in message:
        return "token mode is on, but there is no token here"
    if "RAY_AUTH_MODE is currently 'disabled'" in message:
        return "the cluster asks for a token, and token mode is off here"
    return "the cluster does not accept the token that is here"


def _asked(address: str) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, address],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, **_LIMITS},
            check=False,
        )
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"error": "Timeout", "message": f"nothing in {PATIENCE:.0f} s"}
    except (IndexError, ValueError):
        return {"error": "Ended", "message": _line(done.stderr)}
    return answer


def _line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else "no reason given"
