"""Ray: starting it here or joining a cluster, and what there is to run on."""

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
from typing import Any

from experiments import numerics, user_modules
from experiments.environment import available_cpus
from experiments.settings import InputError
from orchestrator.cluster import autoscaler, connection_check

WORKER_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"),
    "PYTHONHASHSEED": "0",
}
_RAY_ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # or trials without a GPU would see all of them
    "RAY_DEDUP_LOGS": "0",
    # A worker that was cut off for less than it takes to be declared dead loses its answer: Ray would notice after
    # five minutes. Ray's servers bear such pings: a call of 150 s got its answer through one every ten seconds.
    "RAY_grpc_client_keepalive_time_ms": "20000",
    "RAY_grpc_client_keepalive_timeout_ms": "20000",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the store keeps the records
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is the driver's: what is written is whole at any instant
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
    """Ray, started here or joined at `address`; the CPUs and GPUs it has.

    `needs` are what one trial occupies, by Ray's names `CPU` and `GPU`; `environment` is set in every worker.
    Raises InputError when a trial needs more than the machine or cluster has, or when nothing answers at
    `address`.
    """
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if address is not None:
        connection_check.require(address)
    import ray

    if address is None and ray.is_initialized():  # a notebook's or a test's own: use it and leave it
        yield _checked_resources(needs, "this machine")
        return
    if address is None:
        _refuse_too_large(needs, {"CPU": available_cpus()}, "this machine")
    own = {"address": "local", "num_cpus": available_cpus(), "include_dashboard": False}
    options = {"address": address} if address else own  # "local": never a cluster that happens to run here
    variables = {**WORKER_ENVIRONMENT, **passed_on(), user_modules.FOLDER: os.getcwd(), **environment}
    on_termination = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            **options,
            logging_level="ERROR",
            log_to_driver=False,
            configure_logging=True,
            job_config=_job_config(),
            runtime_env={"env_vars": variables},
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        if address is None:
            raise
        found = f"no Ray cluster answers there ({error})"
        raise connection_check.NotJoined(address, found, connection_check.SILENT_MEND) from None
    if address is None:
        _close_key()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_termination)  # Ray puts its own in front, which kills without tidying up
    with redirect_stdout(sys.stderr):  # where a node dies Ray says so on stdout, which is for data
        try:
            yield _checked_resources(needs, "the cluster" if address else "this machine")
        finally:
            ray.shutdown()


def _job_config() -> Any:
    """A job whose workers do not look for modules in this process's folder before all other places.

    There a file of the user's called like a library would take its place. Where this program is not installed, its
    own folder stands in front instead.
    """
    from ray.job_config import JobConfig

    class Job(JobConfig):
        def _runtime_env_has_working_dir(self) -> bool:
            return True

    source = str(Path(__file__).parents[2])
    return Job(_py_driver_sys_path=[] if source in site.getsitepackages() else [source])


def _close_key() -> None:
    """Ray makes its token where there is none, and lets everybody read it."""
    key = os.environ.get("RAY_AUTH_TOKEN_PATH") or os.path.expanduser("~/.ray/auth_token")
    with suppress(OSError):
        os.chmod(key, 0o600)


def _checked_resources(needs: Mapping[str, float], where: str) -> Mapping[str, float]:
    import ray

    there: Mapping[str, float] = ray.cluster_resources()
    if all(there.get(name, 0) >= count for name, count in needs.items()):
        return there
    if not autoscaler.grows():
        _refuse_too_large(needs, {name: there.get(name, 0) for name in ("CPU", "GPU")}, where)
    elif not autoscaler.may_have(needs):
        asked = " and ".join(f"{count:g} {name}s" for name, count in needs.items())
        raise InputError(
            f"resources: a trial asks for {asked}; no node of the cluster has them, and its autoscaler has none "
            "to start; ask for less, or give cluster.yaml a node type that has them"
        )
    return there


def alive() -> list[dict[str, float]]:
    """What each node that is alive has, by Ray's names."""
    import ray

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def loses_a_node() -> bool:
    """Whether a node that Ray counts as alive does not answer: Ray takes up to half a minute to notice."""
    import ray

    for node in ray.nodes():
        if node["Alive"]:
            try:
                socket.create_connection((node["NodeManagerAddress"], node["NodeManagerPort"]), timeout=1).close()
            except OSError:
                return True
    return False


def dashboard() -> str | None:
    """Where the connected cluster's dashboard listens, host:port; None where there is none."""
    from ray._private.worker import get_dashboard_url

    return get_dashboard_url() or None


def passed_on() -> dict[str, str]:
    """The variables of this process that its workers get as well: those that decide numbers are among them."""
    names = ("KERAS_BACKEND", "SWEEP_CACHE", "XDG_CACHE_HOME", *numerics.deciding(os.environ))
    return {name: os.environ[name] for name in names if name in os.environ}


def _refuse_too_large(needs: Mapping[str, float], there: Mapping[str, float], where: str) -> None:
    settings = {"CPU": "cpus_per_trial", "GPU": "gpus_per_trial"}
    for kind, count in there.items():
        if needs.get(kind, 0) > count:
            raise InputError(
                f"resources.{settings[kind]}: a trial asks for {needs[kind]:g} {kind}s, "
                f"{where} has {count:g}; ask for less or give an --address that has more"
            )
