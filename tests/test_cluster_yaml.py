"""cluster.yaml against Ray's own schema."""

import pytest
import yaml

from tests.conftest import ROOT


def test_ray_accepts_the_cluster_file() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    validate_config(prepare_config(config))
    assert config["max_workers"] == config["available_node_types"]["gpu"]["max_workers"]


def test_ray_refuses_what_is_no_cluster_file() -> None:
    from ray.autoscaler._private.util import validate_config

    with pytest.raises(Exception, match="no_such_key"):
        validate_config({"cluster_name": "sweep", "no_such_key": 1})
