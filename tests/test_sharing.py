"""A results folder that not every node sees, on two real nodes of one machine."""

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import sharing
from tests import buckets
from tests.conftest import ROOT

PROGRAM = """
import os, sys
import ray
from ray.cluster_utils import Cluster
from orchestrator import sharing
from orchestrator.store import Store

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
try:
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
    for results in sys.argv[2:]:
        print(len(sharing.unseen_by(results)))
    os.chdir(sys.argv[1])
    sharing.require("/proc/self/cwd/results")  # every process has another one
except Exception as error:
    print(error)
finally:
    ray.shutdown()
    cluster.shutdown()
"""


def test_a_folder_that_not_all_nodes_see_is_refused_by_name(s3: str, tmp_path: Path) -> None:
    """Takes seconds: two nodes start."""
    elsewhere, shared = tmp_path / "elsewhere", tmp_path / "shared"
    elsewhere.mkdir()
    arguments = [str(elsewhere), str(shared), buckets.address(s3)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=180,
    )
    said = done.stdout.splitlines()
    assert said[:2] == ["0", "0"], done.stderr[-2000:]
    assert said[2].startswith("--results /proc/self/cwd/results: not seen by ")
    assert said[2].count("(it has no such folder, or another one)") == 2
    assert said[2].endswith("mount one folder on all nodes under this path, or give --results s3://bucket/prefix")
    assert not shared.exists()
    assert list(elsewhere.iterdir()) == []


@pytest.mark.usefixtures("ray_session")
def test_one_machine_is_not_asked(tmp_path: Path) -> None:
    assert sharing.unseen_by(str(tmp_path / "results")) == []
    assert not (tmp_path / "results").exists()


def test_credentials_go_along_only_where_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    assert sharing.credentials("s3://b/a")["AWS_SECRET_ACCESS_KEY"] == "hidden"
    assert sharing.credentials("/a/folder") == {}
