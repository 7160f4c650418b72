"""A cluster that grows and shrinks: whether it does, and whether it may have a node with what a trial needs.

Its autoscaler starts nodes for what waits, so a run lets trials wait. It does not tell which kinds of node it has,
and of a wish that it cannot fulfil as a whole it fulfils no part; so it is asked for one trial's room.
"""

import time
from collections.abc import Mapping
from typing import Any

PATIENCE = 30.0
"""Seconds that an autoscaler has to answer; it looks at the cluster every five."""


def grows() -> bool:
    """Whether the connected cluster has an autoscaler (Ray's second one, which `ray up` starts)."""
    return bool(_status().autoscaling_state.autoscaler_state_version)


def may_have(needs: Mapping[str, float]) -> bool:
    """Whether the connected cluster has, or may start, a node with these resources, by Ray's names.

    Takes as long as its autoscaler needs to answer; what is asked for is no longer wanted afterwards.
    """
    if not grows():
        return False
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=[{name: count for name, count in needs.items() if count}])
    try:
        asked_at = _status().cluster_resource_state.cluster_resource_state_version
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            said = _status().autoscaling_state
            if said.last_seen_cluster_resource_state_version > asked_at:
                return not said.infeasible_cluster_resource_constraints
            time.sleep(0.2)
        return False
    finally:
        request_resources(bundles=[])


def _status() -> Any:
    """What the cluster says of itself and of its autoscaler (Ray's protobuf message GetClusterStatusReply)."""
    from ray._private.worker import global_worker
    from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply

    status = GetClusterStatusReply()
    status.ParseFromString(global_worker.gcs_client.get_cluster_status(timeout_s=PATIENCE))
    return status
