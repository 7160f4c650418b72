"""Asking machines about themselves: this one, or every node of the connected Ray cluster."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments import numerics
from experiments.environment import available_cpus, backend, cache_folder, libraries
from experiments.object_store import is_address
from orchestrator.cluster import host_facts
from orchestrator.cluster.ray_session import alive

PATIENCE = 60.0
"""Seconds that a node has to start a process and to answer."""
SAMPLES = 5
PROJECT = ("orchestrator", "experiments")


@dataclass(frozen=True)
class NodeInfo:
    """What one machine said of itself (see `machine.look` and `numerics.look`), or why it did not.

    `resources` are by Ray's names. `skew` is how many seconds its clock is ahead of this process's, known to
    within `skew_within`.
    """

    name: str
    resources: Mapping[str, float]
    facts: Mapping[str, Any] = field(default_factory=dict)
    skew: float = 0.0
    skew_within: float = 0.0
    silence: str = ""


def here(results: str | None = None) -> NodeInfo:
    """The machine that this process is on; Ray is not started for it."""
    import ray

    facts = host_facts.look(*_questions(results)) | {"numerics": numerics.look()}
    mine = {"CPU": available_cpus(), "GPU": _own_gpus()}
    return NodeInfo(facts["host"], alive()[0] if ray.is_initialized() else mine, facts)


def cluster(results: str | None = None) -> list[NodeInfo]:
    """Every node of the connected cluster that is alive, each asked by a process that is pinned to it."""
    import ray
    from ray import cloudpickle
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    by_value = host_facts, numerics  # a node may have another version of them, or none
    for module in by_value:
        cloudpickle.register_pickle_by_value(module)
    try:
        look, look_closer, questions = host_facts.look, numerics.look, _questions(results)

        class Eye:
            def look(self) -> dict[str, Any]:
                return look(*questions) | {"numerics": look_closer()}

            def clock(self) -> float:
                return time.time()

        nodes = [node for node in ray.nodes() if node["Alive"]]
        eyes = []
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            eyes.append(ray.remote(num_cpus=0)(Eye).options(scheduling_strategy=there).remote())
        answers = [eye.look.remote() for eye in eyes]
        ready, _ = ray.wait(answers, num_returns=len(answers), timeout=PATIENCE)
        return [_asked(*each, in_time=each[2] in ready) for each in zip(nodes, eyes, answers, strict=True)]
    finally:
        for module in by_value:
            cloudpickle.unregister_pickle_by_value(module)


def _asked(node: Mapping[str, Any], eye: Any, answer: Any, in_time: bool) -> NodeInfo:
    import ray

    name = f"{node['NodeManagerHostname']} at {node['NodeManagerAddress']}"
    if not in_time:
        ray.kill(eye)
        return NodeInfo(name, node["Resources"], silence=f"no answer in {PATIENCE:.0f} s")
    try:
        facts = ray.get(answer)
        skew, within = skew_of(lambda: float(ray.get(eye.clock.remote(), timeout=PATIENCE)))
    except (ray.exceptions.RayError, TimeoutError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return NodeInfo(name, node["Resources"], silence=lines[-1] if lines else type(error).__name__)
    return NodeInfo(name, node["Resources"], facts, skew, within)


def skew_of(clock: Callable[[], float], own: Callable[[], float] = time.time) -> tuple[float, float]:
    """How far ahead `clock()` is of `own()`, and how well that is known: half of the shortest round trip.

    The other clock is taken to have been read in the middle of the round trip (Cristian 1989, probabilistic
    clock synchronization).
    """
    best = (float("inf"), 0.0)
    for _ in range(SAMPLES):
        before = own()
        there = clock()
        after = own()
        best = min(best, ((after - before) / 2, there - (before + after) / 2))
    return best[1], best[0]


def _questions(results: str | None) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
    folders = [str(cache_folder())] + ([results] if results and not is_address(results) else [])
    return packages(), PROJECT, folders


def packages() -> tuple[str, ...]:
    """What has to be of the same version everywhere."""
    return ("sweep-orchestrator", "ray", *libraries(backend()))


def software() -> dict[str, str | None]:
    """What this process runs on: by name the versions that decide numbers, and a hash of this project's source."""
    return host_facts.software(packages(), PROJECT)


def _own_gpus() -> float:
    from ray._private.accelerators import get_accelerator_manager_for_resource

    manager = get_accelerator_manager_for_resource("GPU")
    return float(manager.get_current_node_num_accelerators()) if manager else 0.0
