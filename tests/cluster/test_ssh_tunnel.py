"""Where a cluster file says that the head is, and what is said when ssh does not get there."""

import shutil
from pathlib import Path

import pytest

from experiments.settings import InputError
from orchestrator.cluster.ssh_tunnel import Head, head, tunnel
from tests.support.command import ROOT

LOCAL = "provider: {type: local, head_ip: 127.0.0.1, worker_ips: []}\n"


def written(folder: Path, text: str) -> Path:
    """A cluster file."""
    path = folder / "cluster.yaml"
    path.write_text(text)
    return path


def test_the_file_for_own_machines_says_where_the_head_is() -> None:
    assert head(ROOT / "orchestrator/cluster/cluster-local.yaml") == Head(
        address="192.168.1.10", user="ubuntu", key="~/.ssh/id_ed25519", proxy=None, port=8265
    )


def test_what_ssh_needs_is_taken_from_the_file(tmp_path: Path) -> None:
    local = LOCAL.replace("head_ip", "external_head_ip: example.org, head_ip")
    auth = "auth: {ssh_user: me, ssh_proxy_command: nc %h}\n"
    there = head(written(tmp_path, f"{local}{auth}head_start_ray_commands: [ray start --dashboard-port=99]\n"))
    assert there == Head(address="example.org", user="me", key=None, proxy="nc %h", port=99)
    assert there.ssh("-v")[-4:] == ["-l", "me", "-v", "example.org"]
    assert "ProxyCommand=nc %h" in there.ssh()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no YAML"),
        ("[]", "expected a file for `ray up`, with a `provider:`"),
        ("provider: local", "expected a file for `ray up`, with a `provider:`"),
        ("provider: {type: local}", r"provider\.head_ip is missing"),
        ("provider: {type: nowhere}\ncluster_name: x", "its head cannot be found"),
    ],
)
def test_another_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        head(written(tmp_path, text))


@pytest.mark.skipif(shutil.which("ssh") is None, reason="there is no ssh here")
def test_what_ssh_says_is_passed_on(tmp_path: Path) -> None:
    text = LOCAL + "auth: {ssh_user: nobody, ssh_proxy_command: 'false'}"
    with (
        pytest.raises(InputError, match=r"ssh to its head 127\.0\.0\.1 failed: .*"),
        tunnel(written(tmp_path, text)),
    ):
        pass
