"""Whether the machines have the resources that the sweep needs."""

from collections.abc import Iterator

from experiments import numerics
from experiments.environment import backend
from orchestrator.cluster import autoscaler, capacity, shared_storage
from orchestrator.cluster.node_inventory import NodeInfo
from orchestrator.doctor.check import Check, Inspection, State, on_all_nodes, problems_by_node, shortened, size
from orchestrator.planning import resource_estimates
from orchestrator.planning.plan import Plan
from orchestrator.spec.sweep import DEFAULT_TRAINER, Resources
from orchestrator.spec.trials import data_paths

BFLOAT16 = "avx512_core_bf16"
"""The class of instructions that multiplies bfloat16, by its name in `numerics.processor`."""


def trial_slots(inspection: Inspection) -> Iterator[Check]:
    """Whether some node has the cores and GPUs of one trial, and how many trials run at once."""
    nodes = [node.resources for node in inspection.nodes]
    gpus = sum(node.get("GPU", 0) for node in nodes)
    with_more = [n.name for n in inspection.answering if n.facts["gpus"] > n.resources.get("GPU", 0)]
    unused = f"; the system shows more than Ray counts on {shortened(with_more)}" if with_more else ""
    if inspection.plan is None:
        yield Check("room", f"{sum(node.get('CPU', 0) for node in nodes):g} CPUs, {gpus:g} GPUs{unused}")
        return
    for needs in dict.fromkeys(t.recipe.settings.resources for t in inspection.plan.trials):
        bundle = {"CPU": needs.cpus_per_trial, "GPU": needs.gpus_per_trial}
        demand = f"{needs.cpus_per_trial:g} CPUs and {needs.gpus_per_trial:g} GPUs a trial"
        slots = capacity.slots(nodes, needs)
        if slots:
            yield Check("room", f"{demand}: {slots} at a time{unused}")
        elif inspection.address and autoscaler.may_have(bundle):
            fix = "wait for the autoscaler: it may start a node that has them"
            yield Check("room", f"{demand}: no node has them now", "warn", fix)
        else:
            most_cpus, most_gpus = (max(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU"))
            limits = f"at most {most_cpus:g} CPUs, {most_gpus:g} GPUs{unused}"
            fix = "ask for less under resources:, or add a node that has them"
            yield Check("room", f"{demand}: no machine has them ({limits})", "fail", fix, stops=True)


def memory(inspection: Inspection) -> Iterator[Check]:
    """Whether the trials that run at once fit into memory, on the node with the least free memory for each."""
    plan = inspection.plan
    if plan is None or plan.sweep.trainer != DEFAULT_TRAINER:
        return
    recipe = max(
        {id(t.recipe): t.recipe for t in plan.trials}.values(), key=lambda r: resource_estimates.memory(plan, r)
    )
    need = resource_estimates.memory(plan, recipe)
    resources = recipe.settings.resources
    loads = [(node, _trials_at_once(node, plan, resources)) for node in inspection.answering]
    loads = [(node, count) for node, count in loads if count]
    if not loads:
        return
    overloads = [load for load in loads if _per_trial(load, "memory") < need]
    node, count = min(overloads or loads, key=lambda load: _per_trial(load, "memory_free"))
    total, free = node.facts["memory"], node.facts["memory_free"]
    finding = f"about {size(need)} a trial ({recipe.label}), {count} at a time; {node.name} has {size(total)}"
    fix = "raise resources.cpus_per_trial so that fewer run at once, lower batch_size, or take a larger machine"
    if need * count > total:
        yield Check("memory", finding, "fail", fix, stops=need > total)
    elif need * count > free:
        yield Check("memory", f"{finding}, {size(free)} of it free", "warn", f"end what else runs there, or {fix}")
    else:
        yield Check("memory", f"{finding}, {size(free)} of it free")


def _per_trial(load: tuple[NodeInfo, int], fact: str) -> float:
    node, count = load
    return float(node.facts[fact]) / count


def _trials_at_once(node: NodeInfo, plan: Plan, needs: Resources) -> int:
    return min(capacity.slots([node.resources], needs), len(plan.unfinished) or len(plan.trials))


def precision(inspection: Inspection) -> Iterator[Check]:
    """The gain of bfloat16, where all trials are float32 and all processors multiply bfloat16."""
    plan, nodes = inspection.plan, inspection.answering
    if plan is None or plan.sweep.trainer != DEFAULT_TRAINER or backend() != "tensorflow" or not nodes:
        return
    all_settings = [trial.recipe.settings for trial in plan.trials]
    if any(settings.precision != "float32" or settings.resources.gpus_per_trial for settings in all_settings):
        return
    if all(BFLOAT16 in numerics.instructions_of(node.facts["numerics"]["processor"]) for node in nodes):
        # Measured at widths 0.125 to 1.
        advice = "`precision: mixed_bfloat16` trains 1.3 to 1.6 times as many images a second here (AVX512_BF16)"
        yield Check("precision", f"float32; {advice}")


def disk(inspection: Inspection) -> Iterator[Check]:
    """Whether the sweep's files fit on the disk of the results; only the built-in trainer's sizes are known."""
    plan, results, free_bytes = inspection.plan, inspection.results, inspection.local.facts["disk"]
    if plan is None or plan.sweep.trainer != DEFAULT_TRAINER or results not in free_bytes:
        return
    need, free = resource_estimates.disk(plan), free_bytes[results]
    finding = f"{results}: {size(free)} free, {size(need.least)} to {size(need.most)} are kept in the end"
    unwritten = len(plan.unfinished) / len(plan.trials)
    state: State = "ok"
    if free is not None:
        state = "fail" if need.least * unwritten > free else "warn" if need.most * unwritten > free else "ok"
    fix = "" if state == "ok" else "make room there, give another --results, or set save_best: false"
    yield Check("results", finding, state, fix, stops=state == "fail")


def cache(inspection: Inspection) -> Iterator[Check]:
    """Whether the decoded images fit into the cache of every node."""
    nodes, folder = inspection.answering, next(iter(inspection.local.facts["disk"]))
    free = {node.name: node.facts["disk"][folder] or 0 for node in nodes}
    images = resource_estimates.cache(inspection.plan) if inspection.plan else 0
    too_small = problems_by_node(nodes, lambda n: [size(free[n.name])] if free[n.name] < images else [])
    if too_small:
        fix = "make room there, or set SWEEP_CACHE to a folder on a larger disk"
        yield Check("cache", f"{folder}: the images take {size(images)}, free: {too_small}", "warn", fix)
    else:
        need = f", the images take {size(images)}" if inspection.plan else ""
        yield Check("cache", f"{folder}: {size(min(free.values(), default=0))} free{need}")


def storage(inspection: Inspection) -> Iterator[Check]:
    """Whether every node sees the results."""
    if inspection.blind_to_results is None:
        return
    if inspection.blind_to_results:
        finding = f"{inspection.results}: not seen by {shortened(inspection.blind_to_results)}"
        fix = "mount one folder on all nodes under this path, or give --results s3://bucket/prefix"
        yield Check("storage", finding, "fail", fix, stops=True)
    else:
        yield Check("storage", f"{inspection.results}{on_all_nodes(inspection)}")


def data(inspection: Inspection) -> Iterator[Check]:
    """Whether every node sees the images."""
    if inspection.plan is None or inspection.blind_to_data is None:
        return
    paths = data_paths(trial.recipe for trial in inspection.plan.trials)
    if inspection.blind_to_data:
        finding = f"not seen by {shortened(inspection.blind_to_data)}"
        yield Check("data", finding, "fail", shared_storage.DATA_FIX, stops=True)
    elif paths:
        yield Check("data", f"{shortened(paths)}{on_all_nodes(inspection)}")
