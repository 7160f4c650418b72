"""A cluster whose nodes are started and ended by Ray's own autoscaler, on this machine: no cloud, no root.

Takes a minute. The nodes are real ones; only who would rent them out is Ray's stand-in for its own tests.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from orchestrator.storage.store import Store
from tests.support import processes
from tests.support.command import ROOT
from tests.support.nodes import TOKEN
from tests.support.sweeps import written

pytestmark = pytest.mark.hosts

HEAD = "f" * 51 + "00000"
"""The name by which Ray's stand-in knows the head."""
MOST = 2


def configuration(address: str) -> dict[str, object]:
    """What cluster.yaml says of its nodes, for nodes on this machine: from none to a few, and back when idle."""
    module = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
    provider = {"type": "external", "module": module, "launch_multiple": True}
    worker = {"CPU": 1, "object_store_memory": 80 * 2**20}
    commands = ("setup_commands", "start_ray_commands")
    return {
        "cluster_name": "growing",
        "max_workers": MOST,
        "idle_timeout_minutes": 0.1,
        "provider": {**provider, "head_node_id": HEAD, "gcs_address": address},
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "cpu": {"resources": worker, "node_config": {}, "max_workers": MOST},
        },
        **{key: {} for key in ("auth", "docker", "file_mounts")},
        **{key: [] for key in ("cluster_synced_files", "initialization_commands", "setup_commands")},
        **{f"{kind}_{name}": [] for kind in ("head", "worker") for name in commands},
    }


@pytest.fixture
def growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """The address of a cluster with no worker yet, and the process of its head."""
    from ray.util import get_node_ip_address

    with socket.create_server(("", 0)) as free:
        address = f"{get_node_ip_address()}:{free.getsockname()[1]}"
    key, file = tmp_path / "auth_token", tmp_path / "cluster.json"
    key.write_text(TOKEN)
    key.chmod(0o600)
    file.write_text(json.dumps(configuration(address)))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(key))
    monkeypatch.setenv("PACE", str(tmp_path / "pace"))
    stand_in = {
        "RAY_FAKE_CLUSTER": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD,
        "RAY_enable_autoscaler_v2": "1",  # as `ray up` does
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    }
    with scratch() as folder, open(tmp_path / "head", "w") as said:
        head = subprocess.Popen(
            [
                *(Path(sys.executable).with_name("ray"), "start", "--head", "--block"),
                *(f"--port={address.rpartition(':')[2]}", f"--temp-dir={folder}", f"--autoscaling-config={file}"),
                *("--num-cpus=0", "--include-dashboard=false", f"--object-store-memory={80 * 2**20}"),
            ],
            cwd=ROOT,
            env={**os.environ, **stand_in},
            stdout=said,
            stderr=said,
            text=True,
        )
        try:
            eventually(lambda: "This command will now block" in (tmp_path / "head").read_text())
            yield address, head.pid
        finally:
            processes.kill_all(head)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for Ray, of a short name: those of its sockets have a limit."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def nodes(head: int) -> int:
    """How many workers the cluster has now."""
    found = 0
    for process in processes.descendants(head):
        with suppress(OSError):
            found += Path(f"/proc/{process}/comm").read_text() == "raylet\n"
    return found - 1


def eventually(happens: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until it does."""
    until = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < until
        time.sleep(0.2)


def test_nodes_come_for_trials_that_wait_and_go_when_none_do(growing: tuple[str, int], tmp_path: Path) -> None:
    address, head = growing
    results = tmp_path / "r"
    (tmp_path / "pace").write_text("1")
    file = written(tmp_path, trainer="tests.support.fakes:PlacedTrainer", epochs=3, save_best=False)
    assert nodes(head) == 0
    run = processes.start(file, results, "--address", address)
    try:
        assert run.wait(150) == 0, processes.said(results)
    finally:
        processes.kill_all(run)
    rows = [row for table in Store.at(str(results)).history("small")[0].values() for row in table.to_pylist()]
    assert len(rows) == 24
    assert len({row["device"] for row in rows}) == MOST
    eventually(lambda: nodes(head) == 0)
    began = time.monotonic()
    run = processes.start(
        file, results, "--address", address, "-S", "name=gpu", "-S", "resources.gpus_per_trial=1"
    )
    assert run.wait(60) == 2
    assert "its autoscaler has none to start" in processes.said(results)
    assert time.monotonic() - began < 30
