"""Every private name of Ray's that this program uses, each with the reason why no public one serves.

A new version of Ray may change these without notice, so a test keeps them out of all other modules. Run as a file
this is the process that `connection_check` starts: it connects to an address and prints what the cluster answers.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

KEEPALIVE: Mapping[str, str] = MappingProxyType(
    {"RAY_grpc_client_keepalive_time_ms": "20000", "RAY_grpc_client_keepalive_timeout_ms": "20000"}
)
"""How often a process tests its connections, and how long it waits. Ray documents no setting for either.

A worker without a network for less time than Ray takes to declare it dead loses its answer, and Ray notices after
five minutes. Ray's servers accept such tests: a call of 150 s succeeded with one every ten seconds.
"""
CONNECT_LIMITS: Mapping[str, str] = MappingProxyType(
    {"RAY_py_gcs_connect_timeout_s": "5", "RAY_gcs_rpc_server_connect_timeout_s": "2"}
)
"""Seconds for a connection to a cluster. `ray.init` has no argument for them, and takes minutes to give up."""


def cluster_status(timeout: float) -> Any:
    """The state of the connected cluster and of its autoscaler: Ray's message GetClusterStatusReply.

    The public `ray.autoscaler.sdk` sends requests to the autoscaler and reads none of its answers.
    """
    from ray._private.worker import global_worker
    from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply

    status = GetClusterStatusReply()
    status.ParseFromString(global_worker.gcs_client.get_cluster_status(timeout_s=timeout))
    return status


def dashboard_address() -> str | None:
    """The connected cluster's dashboard, host:port; None without one.

    The public `ray.init` returns it to its caller only, and refuses a second call.
    """
    from ray._private.worker import get_dashboard_url

    return get_dashboard_url() or None


def gpus_of_this_machine() -> float:
    """How many GPUs Ray would count on this machine. The public functions count only where Ray runs."""
    from ray._private.accelerators import get_accelerator_manager_for_resource

    manager = get_accelerator_manager_for_resource("GPU")
    return float(manager.get_current_node_num_accelerators()) if manager else 0.0


def job_config(module_folders: Sequence[str]) -> Any:
    """A job whose workers search `module_folders` first, and this process's current folder not at all.

    Ray puts the driver's current folder first, and only a working directory, which it copies to every node, is a
    public way to stop it. In front, a user's file with the name of a library would replace the library.
    """
    from ray.job_config import JobConfig

    class Job(JobConfig):
        def _runtime_env_has_working_dir(self) -> bool:
            return True

    return Job(_py_driver_sys_path=list(module_folders))


def cluster_metadata(address: str) -> dict[str, Any]:
    """The versions of the cluster at `address`, or `error` and `message`.

    The public `ray.init` joins the cluster, and tries for minutes where none answers.
    """
    from ray._private import services
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled

    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    try:
        head = services.canonicalize_bootstrap_address(address)
        if head is None:
            raise ConnectionError("none is running on this machine")
        content = GcsClient(address=head).internal_kv_get(b"CLUSTER_METADATA", namespace=b"cluster")
        metadata: dict[str, Any] = json.loads(content)
    except Exception as error:
        return {"error": type(error).__name__, "message": str(error)}
    return metadata


if __name__ == "__main__":
    print(json.dumps(cluster_metadata(sys.argv[1])))
