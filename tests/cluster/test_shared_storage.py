"""Results and data that not every node sees, on two real nodes of one machine."""

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cluster import shared_storage
from tests.support import buckets
from tests.support.command import ROOT

PROGRAM = """
import os, sys
import ray
from ray.cluster_utils import Cluster
from orchestrator.cluster import shared_storage
from orchestrator.storage.store import Store

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
try:
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
    for results in sys.argv[2:]:
        blind = shared_storage.nodes_without_results(results), shared_storage.nodes_without_data([results])
        print(*map(len, blind))
    os.chdir(sys.argv[1])
    for results, data in (("/proc/self/cwd/results", []), (sys.argv[2], ["/proc/self/cwd/photos"])):
        try:
            shared_storage.require(results, data)  # every process has another working directory
        except Exception as error:
            print(error)
finally:
    ray.shutdown()
    cluster.shutdown()
"""


def test_a_folder_that_not_all_nodes_see_is_refused_by_name(s3: str, tmp_path: Path) -> None:
    """Takes seconds: two nodes start."""
    elsewhere, shared = tmp_path / "elsewhere", tmp_path / "shared"
    for folder in (elsewhere / "photos", shared):
        folder.mkdir(parents=True)
        (folder / "a").touch()
    arguments = [str(elsewhere), str(shared), buckets.upload(s3, shared)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=180,
    )
    said = done.stdout.splitlines()
    assert said[:2] == ["0 0", "0 0"], done.stderr[-2000:]
    assert said[2].startswith("--results /proc/self/cwd/results: not seen by ")
    assert said[2].count("(it has no such folder, or another one)") == 2
    assert said[2].endswith("mount one folder on all nodes under this path, or give --results s3://bucket/prefix")
    assert said[3].startswith("data.path: not seen by ")
    assert said[3].count("no such folder: /proc/self/cwd/photos") == 2
    assert said[3].endswith("the same path on every node, or give the address of a bucket: s3://bucket/prefix")
    assert [path.name for path in (*shared.iterdir(), *elsewhere.iterdir())] == ["a", "photos"]


@pytest.mark.usefixtures("ray_session")
def test_one_machine_is_not_asked(tmp_path: Path) -> None:
    assert shared_storage.nodes_without_results(str(tmp_path / "results")) == []
    assert shared_storage.nodes_without_data([str(tmp_path / "photos")]) == []
    assert not (tmp_path / "results").exists()


def test_credentials_go_along_only_where_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    assert shared_storage.credentials("s3://b/a")["AWS_SECRET_ACCESS_KEY"] == "hidden"
    assert shared_storage.credentials("/a/folder", "s3://b/photos")["AWS_SECRET_ACCESS_KEY"] == "hidden"
    assert shared_storage.credentials("/a/folder", "/photos") == {}
