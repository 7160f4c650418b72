"""Ray: starting it on this machine or joining a cluster, and the resources of its nodes."""

import os
import signal
import site
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import MappingProxyType

from experiments import numerics, user_modules
from experiments.environment import available_cpus
from experiments.settings import InputError
from orchestrator.cluster import autoscaler, connection_check, ray_internals

WORKER_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"),
    "PYTHONHASHSEED": "0",
}
_RAY_ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # without it, trials without a GPU see all of them
    "RAY_DEDUP_LOGS": "0",
    **ray_internals.KEEPALIVE,
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the store keeps the records
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the driver at once: all files are whole at any instant
    "TUNE_GLOBAL_CHECKPOINT_S": "100000",  # the store is the truth, Ray's own state is not needed
    "TUNE_WARN_THRESHOLD_S": "1000",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    "TUNE_MAX_PENDING_TRIALS_PG": "256",  # with 1, which is Tune's own choice, workers start one after another
}


@contextmanager
def connected(
    address: str | None, needs: Mapping[str, float], environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Mapping[str, float]]:
    """Ray, started on this machine or joined at `address`, within the block; gives its CPUs and GPUs.

    `needs` are the resources of one trial, by Ray's names `CPU` and `GPU`; `environment` is set in every worker.
    Raises InputError when a trial needs more than the machine or cluster has, or when nothing answers at
    `address`.
    """
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if address is not None:
        connection_check.require(address)
    import ray

    if address is None and ray.is_initialized():  # by a notebook or a test, which ends it
        yield _checked_resources(needs, "this machine")
        return
    if address is None:
        _refuse_too_large(needs, {"CPU": available_cpus()}, "this machine")
    # "local": never a cluster that happens to run on this machine
    local = {"address": "local", "num_cpus": available_cpus(), "include_dashboard": False}
    options = {"address": address} if address else local
    variables = {**WORKER_ENVIRONMENT, **forwarded_variables(), user_modules.FOLDER: os.getcwd(), **environment}
    on_termination = signal.getsignal(signal.SIGTERM)
    source = str(Path(__file__).parents[2])
    installed = source in site.getsitepackages()
    try:
        ray.init(
            **options,
            logging_level="ERROR",
            log_to_driver=False,
            configure_logging=True,
            job_config=ray_internals.job_config([] if installed else [source]),
            runtime_env={"env_vars": variables},
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        if address is None:
            raise
        raise connection_check.no_answer(address, error) from None
    if address is None:
        _protect_token()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_termination)  # Ray's handler ends the process without cleaning up
    with redirect_stdout(sys.stderr):  # Ray reports a dead node on stdout, which is for data
        try:
            yield _checked_resources(needs, "the cluster" if address else "this machine")
        finally:
            ray.shutdown()


def _protect_token() -> None:
    """Let nobody else read the token: where there is none Ray makes one that everybody can read."""
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or os.path.expanduser("~/.ray/auth_token")
    with suppress(OSError):
        os.chmod(path, 0o600)


def _checked_resources(needs: Mapping[str, float], where: str) -> Mapping[str, float]:
    import ray

    resources: Mapping[str, float] = ray.cluster_resources()
    if all(resources.get(name, 0) >= count for name, count in needs.items()):
        return resources
    if not autoscaler.grows():
        _refuse_too_large(needs, {name: resources.get(name, 0) for name in ("CPU", "GPU")}, where)
    elif not autoscaler.may_have(needs):
        request = " and ".join(f"{count:g} {name}s" for name, count in needs.items())
        raise InputError(
            f"resources: a trial asks for {request}; no node of the cluster has them, and its autoscaler has none "
            "to start; ask for less, or give cluster.yaml a node type that has them"
        )
    return resources


def node_resources() -> list[dict[str, float]]:
    """The resources of each live node, by Ray's names."""
    import ray

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def has_unreachable_node() -> bool:
    """Whether a node that Ray counts as alive does not answer: Ray takes up to half a minute to notice."""
    import ray

    for node in ray.nodes():
        if node["Alive"]:
            try:
                socket.create_connection((node["NodeManagerAddress"], node["NodeManagerPort"]), timeout=1).close()
            except OSError:
                return True
    return False


def forwarded_variables() -> dict[str, str]:
    """The environment variables of this process that its workers get, those that decide numbers among them."""
    names = ("KERAS_BACKEND", "SWEEP_CACHE", "XDG_CACHE_HOME", *numerics.deciding(os.environ))
    return {name: os.environ[name] for name in names if name in os.environ}


def _refuse_too_large(needs: Mapping[str, float], resources: Mapping[str, float], where: str) -> None:
    """Raise InputError where a trial `needs` more than the `resources`."""
    settings = {"CPU": "cpus_per_trial", "GPU": "gpus_per_trial"}
    for kind, count in resources.items():
        if needs.get(kind, 0) > count:
            raise InputError(
                f"resources.{settings[kind]}: a trial asks for {needs[kind]:g} {kind}s, "
                f"{where} has {count:g}; ask for less or give an --address that has more"
            )
