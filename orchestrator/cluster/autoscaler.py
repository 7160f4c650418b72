"""A cluster that grows and shrinks: whether it does, and whether it may have a node with a trial's resources.

The autoscaler starts nodes for the trials that wait, so a run lets trials wait. It does not list its node types,
and it ignores a request that it cannot fulfil as a whole. So the request here is that of a single trial.
"""

import time
from collections.abc import Mapping

from orchestrator.cluster.ray_internals import cluster_status

PATIENCE = 30.0
"""Seconds for the autoscaler to answer; it reads the state of the cluster every five."""


def grows() -> bool:
    """Whether the connected cluster has an autoscaler (Ray's second one, which `ray up` starts)."""
    return bool(cluster_status(PATIENCE).autoscaling_state.autoscaler_state_version)


def may_have(needs: Mapping[str, float]) -> bool:
    """Whether the connected cluster has, or may start, a node with the resources `needs`, by Ray's names.

    Takes as long as the autoscaler needs to answer, and withdraws the request afterwards.
    """
    if not grows():
        return False
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=[{name: count for name, count in needs.items() if count}])
    try:
        request_version = cluster_status(PATIENCE).cluster_resource_state.cluster_resource_state_version
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            state = cluster_status(PATIENCE).autoscaling_state
            if state.last_seen_cluster_resource_state_version > request_version:
                return not state.infeasible_cluster_resource_constraints
            time.sleep(0.2)
        return False
    finally:
        request_resources(bundles=[])
