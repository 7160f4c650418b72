"""A tunnel through ssh to a cluster's job server, which listens on the head's loopback only."""

import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from experiments.settings import InputError, last_line_of
from orchestrator.spec.yaml_document import text_of

DASHBOARD_PORT = 8265
PATIENCE = 12.0
"""Seconds for a tunnel to open."""
_PORT_OPTION = re.compile(r"--dashboard-port[= ](\d+)")


@dataclass(frozen=True, kw_only=True)
class Head:
    """How ssh reaches the head of a cluster, and the `port` of its job server."""

    address: str
    user: str | None
    key: str | None
    proxy: str | None
    port: int = DASHBOARD_PORT

    def ssh(self, *options: str) -> list[str]:
        """The ssh command with `options`; it never prompts."""
        settings = {
            "BatchMode": "yes",
            "ConnectTimeout": "10",
            "ExitOnForwardFailure": "yes",
            "ServerAliveCountMax": "3",
            "ServerAliveInterval": "5",
            "StrictHostKeyChecking": "accept-new",
            **({"ProxyCommand": self.proxy} if self.proxy else {}),
        }
        setting_options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        key = ["-i", str(Path(self.key).expanduser())] if self.key else []
        user = ["-l", self.user] if self.user else []
        return ["ssh", "-T", *setting_options, *key, *user, *options, self.address]


def head(cluster: Path) -> Head:
    """The head of the `cluster` in a file of Ray's cluster launcher. Raises InputError.

    With `provider: local` the file has its address; other providers answer a request, as with `ray attach`.
    """
    config = _read(cluster)
    provider, auth = config["provider"], config.get("auth") or {}
    if provider.get("type") == "local":
        address = provider.get("external_head_ip") or provider.get("head_ip")
        if not address:
            raise InputError(f"{cluster}: provider.head_ip is missing")
    else:
        address, auth = _from_provider(cluster, config)
    port = _PORT_OPTION.search(" ".join(map(str, config.get("head_start_ray_commands") or ())))
    return Head(
        address=str(address),
        user=auth.get("ssh_user"),
        key=auth.get("ssh_private_key"),
        proxy=auth.get("ssh_proxy_command"),
        port=int(port.group(1)) if port else DASHBOARD_PORT,
    )


def _read(cluster: Path) -> Mapping[str, Any]:
    try:
        # Ray reads the file so, by YAML 1.1: read by YAML 1.2 as sweep files are, it could mean another cluster.
        config = yaml.safe_load(text_of(cluster))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"--cluster {cluster}: cannot be read ({reason})") from None
    except yaml.YAMLError as error:
        raise InputError(f"--cluster {cluster}: no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(config, dict) or not isinstance(config.get("provider"), dict):
        raise InputError(f"--cluster {cluster}: expected a file for `ray up`, with a `provider:`")
    return config


def _from_provider(cluster: Path, config: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Address and auth of the head, from the provider. Raises InputError for every error of the provider's."""
    from ray.autoscaler import sdk

    try:
        address = sdk.get_head_node_ip(str(cluster))
        return address, sdk.bootstrap_config(dict(config))["auth"]
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise InputError(
            f"--cluster {cluster}: its head cannot be found ({reason}); start it with `ray up {cluster}`"
        ) from None


@contextmanager
def tunnel(cluster: Path) -> Iterator[str]:
    """An address on this machine that leads to the cluster's job server. Raises InputError when ssh fails.

    On the head runs `cat`, which ends with its standard input, so ssh ends with this process in any case.
    """
    target, local_port = head(cluster), _free_port()
    command = target.ssh("-L", f"127.0.0.1:{local_port}:127.0.0.1:{target.port}")
    with tempfile.TemporaryFile("w+") as errors:
        try:
            ssh = subprocess.Popen(
                [*command, "cat"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise InputError(f"--cluster {cluster}: needs ssh, which is not installed here") from None
        try:
            _await(ssh, local_port, cluster, target, errors)
            yield f"http://127.0.0.1:{local_port}"
        finally:
            ssh.kill()
            ssh.wait()
            if ssh.stdin:
                ssh.stdin.close()


def _await(ssh: "subprocess.Popen[bytes]", port: int, cluster: Path, target: Head, errors: IO[str]) -> None:
    """Return once the tunnel accepts a connection at `port`. Raises InputError."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and ssh.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    errors.seek(0)
    reason = last_line_of(errors.read()) or "it does not answer"
    raise InputError(f"--cluster {cluster}: ssh to its head {target.address} failed: {reason}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
