"""The cluster files against Ray's own schema, and what they promise."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.command import ROOT

LOCAL = "orchestrator/cluster/cluster-local.yaml"
FILES = ("cluster.yaml", LOCAL)


def read(name: str) -> dict[str, Any]:
    """The file as Ray reads it."""
    config: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return config


def starting(config: dict[str, Any]) -> list[str]:
    """The commands that start Ray on some node."""
    commands = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    return [command for command in commands if "ray stop" not in command]


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_the_file(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(read(name))
    validate_config(prepared)
    types = prepared["available_node_types"]
    most = {t["max_workers"] for kind, t in types.items() if kind != "head"}
    assert most == {prepared["max_workers"]}


def test_ray_refuses_what_is_no_cluster_file() -> None:
    from ray.autoscaler._private.util import validate_config

    with pytest.raises(Exception, match="no_such_key"):
        validate_config({"cluster_name": "sweep", "no_such_key": 1})


@pytest.mark.parametrize("name", FILES)
def test_tokens_are_on_and_the_dashboard_is_on_loopback(name: str) -> None:
    config = read(name)
    assert len(starting(config)) == 2
    assert all(command.startswith("RAY_AUTH_MODE=token ") for command in starting(config))
    assert "--dashboard-host=127.0.0.1" in shlex.split(starting(config)[0])
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "chmod 600 ~/.ray/auth_token" in config["setup_commands"]


@pytest.mark.parametrize("name", FILES)
def test_every_node_installs_the_project_from_its_lock_and_gets_neither_results_nor_data(name: str) -> None:
    config = read(name)
    assert config["file_mounts"]["~/sweep"] == "."
    assert {".venv", ".git", "results", "data"} == set(config["rsync_exclude"])
    assert any(re.match(r"cd ~/sweep && make install\b", command) for command in config["setup_commands"])


def test_spot_workers_scale_from_none_and_the_head_is_on_demand() -> None:
    types = read("cluster.yaml")["available_node_types"]
    assert types["gpu"]["min_workers"] == 0
    assert types["gpu"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    assert types["head"]["resources"] == {"CPU": 0}


def test_ten_numbered_values_stand_at_the_top() -> None:
    text = (ROOT / "cluster.yaml").read_text()
    top = text.partition("# The project, installed")[0]
    assert re.findall(r"# (\d+)\b", top) == [str(number) for number in range(1, 11)]


def test_own_machines_use_the_autoscaler_that_starts_workers() -> None:
    head, worker = starting(read(LOCAL))
    assert "RAY_enable_autoscaler_v2=0" in head.split()
    script = re.search(r"~/sweep/(\S+\.sh)", worker)
    assert script is not None
    assert Path(ROOT / script.group(1)).exists()
