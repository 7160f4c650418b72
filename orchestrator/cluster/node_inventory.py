"""Facts about machines: about this one, or about every node of the connected Ray cluster."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments import numerics
from experiments.environment import available_cpus, backend, cache_folder, libraries
from experiments.object_store import is_address
from experiments.settings import last_line_of
from orchestrator.cluster import host_facts
from orchestrator.cluster.ray_internals import gpus_of_this_machine
from orchestrator.cluster.ray_session import node_resources

PATIENCE = 60.0
"""Seconds for a node to start a process and to answer."""
SAMPLES = 5
"""How often a clock is compared."""
PROJECT = ("orchestrator", "experiments")


@dataclass(frozen=True, kw_only=True)
class NodeInfo:
    """One machine: its `name`, its `resources` by Ray's names, and its `facts`.

    The facts are those of `host_facts.collect`, and under "numerics" those of `numerics.collect`. Where they are
    missing, `silence` is the reason. The clock is `skew` seconds ahead of this process's, to within `skew_within`.
    """

    name: str
    resources: Mapping[str, float]
    facts: Mapping[str, Any] = field(default_factory=dict)
    skew: float = 0.0
    skew_within: float = 0.0
    silence: str = ""


def this_machine(results: str | None = None) -> NodeInfo:
    """The machine of this process, without starting Ray."""
    import ray

    facts = host_facts.collect(*_subjects(results)) | {"numerics": numerics.collect()}
    if ray.is_initialized():
        resources = node_resources()[0]
    else:
        resources = {"CPU": available_cpus(), "GPU": gpus_of_this_machine()}
    return NodeInfo(name=facts["host"], resources=resources, facts=facts)


def cluster_nodes(results: str | None = None) -> list[NodeInfo]:
    """Every live node of the connected cluster; a process on each collects its facts."""
    import ray
    from ray import cloudpickle
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    by_value = host_facts, numerics  # a node may have another version of them, or none
    for module in by_value:
        cloudpickle.register_pickle_by_value(module)
    try:
        collect, collect_numerics, subjects = host_facts.collect, numerics.collect, _subjects(results)

        class Probe:
            def collect(self) -> dict[str, Any]:
                return collect(*subjects) | {"numerics": collect_numerics()}

            def clock(self) -> float:
                return time.time()

        nodes = [node for node in ray.nodes() if node["Alive"]]
        probes = []
        for node in nodes:
            pinned = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            probes.append(ray.remote(num_cpus=0)(Probe).options(scheduling_strategy=pinned).remote())
        answers = [probe.collect.remote() for probe in probes]
        ready, _ = ray.wait(answers, num_returns=len(answers), timeout=PATIENCE)
        triples = zip(nodes, probes, answers, strict=True)
        return [_node_info(node, probe, answer, answer in ready) for node, probe, answer in triples]
    finally:
        for module in by_value:
            cloudpickle.unregister_pickle_by_value(module)


def _node_info(node: Mapping[str, Any], probe: Any, answer: Any, in_time: bool) -> NodeInfo:
    import ray

    name, resources = f"{node['NodeManagerHostname']} at {node['NodeManagerAddress']}", node["Resources"]
    if not in_time:
        ray.kill(probe)
        return NodeInfo(name=name, resources=resources, silence=f"no answer in {PATIENCE:.0f} s")
    try:
        facts = ray.get(answer)
        skew, within = skew_of(lambda: float(ray.get(probe.clock.remote(), timeout=PATIENCE)))
    except (ray.exceptions.RayError, TimeoutError) as error:
        silence = last_line_of(str(error)) or type(error).__name__
        return NodeInfo(name=name, resources=resources, silence=silence)
    return NodeInfo(name=name, resources=resources, facts=facts, skew=skew, skew_within=within)


def skew_of(clock: Callable[[], float], reference: Callable[[], float] = time.time) -> tuple[float, float]:
    """How far ahead `clock()` is of `reference()`, and the error of that: half of the shortest round trip.

    The clock is taken to have been read in the middle of the round trip (Cristian 1989, probabilistic clock
    synchronization).
    """
    best = (float("inf"), 0.0)
    for _ in range(SAMPLES):
        before = reference()
        reading = clock()
        after = reference()
        best = min(best, ((after - before) / 2, reading - (before + after) / 2))
    return best[1], best[0]


def _subjects(results: str | None) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
    """The arguments of `host_facts.collect`."""
    folders = [str(cache_folder())] + ([results] if results and not is_address(results) else [])
    return packages(), PROJECT, folders


def packages() -> tuple[str, ...]:
    """The packages that must have the same version on every node."""
    return ("sweep-orchestrator", "ray", *libraries(backend()))


def software() -> dict[str, str | None]:
    """By name, the versions in this process that decide numbers, and a hash of this project's source."""
    return host_facts.software(packages(), PROJECT)
