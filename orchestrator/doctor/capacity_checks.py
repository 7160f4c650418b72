"""Do the machines have what the sweep needs?"""

from collections.abc import Iterator

from experiments import numerics
from experiments.environment import backend
from orchestrator.cluster import autoscaler, capacity, shared_storage
from orchestrator.cluster.node_inventory import NodeInfo
from orchestrator.doctor.check import Check, Inspection, State, everywhere, size, some, where
from orchestrator.planning import resource_estimates
from orchestrator.planning.plan import Plan
from orchestrator.spec.sweep import DEFAULT_TRAINER, Resources
from orchestrator.spec.trials import data_paths

BFLOAT16 = "avx512_core_bf16"
"""The class of instructions that multiplies bfloat16, by its name in `numerics.processor`."""


def room(seen: Inspection) -> Iterator[Check]:
    """Whether some machine has the cores and GPUs of one trial, and how many trials run at once."""
    nodes = [m.resources for m in seen.machines]
    gpus = sum(node.get("GPU", 0) for node in nodes)
    more = [m.name for m in seen.answering if m.facts["gpus"] > m.resources.get("GPU", 0)]
    unused = f"; the system shows more than Ray counts on {some(more)}" if more else ""
    if seen.plan is None:
        yield Check("room", f"{sum(node.get('CPU', 0) for node in nodes):g} CPUs, {gpus:g} GPUs{unused}")
        return
    for needs in dict.fromkeys(t.recipe.settings.resources for t in seen.plan.trials):
        asked = f"{needs.cpus_per_trial:g} CPUs and {needs.gpus_per_trial:g} GPUs a trial"
        there = capacity.slots(nodes, needs)
        if there:
            yield Check("room", f"{asked}: {there} at a time{unused}")
        elif seen.address and autoscaler.may_have({"CPU": needs.cpus_per_trial, "GPU": needs.gpus_per_trial}):
            mend = "wait for the autoscaler: it may start a node that has them"
            yield Check("room", f"{asked}: no node has them now", "warn", mend)
        else:
            cpus, most = (max(n.get(kind, 0) for n in nodes) for kind in ("CPU", "GPU"))
            found = f"{asked}: no machine has them (at most {cpus:g} CPUs, {most:g} GPUs{unused})"
            mend = "ask for less under resources:, or add a node that has them"
            yield Check("room", found, "fail", mend, stops=True)


def memory(seen: Inspection) -> Iterator[Check]:
    """Whether the trials that run at once fit into the memory of the machine that has least free for each."""
    plan = seen.plan
    if plan is None or plan.sweep.trainer != DEFAULT_TRAINER:
        return
    recipe = max(
        {id(t.recipe): t.recipe for t in plan.trials}.values(), key=lambda r: resource_estimates.memory(plan, r)
    )
    need = resource_estimates.memory(plan, recipe)
    asked = [(m, _at_once(m, plan, recipe.settings.resources)) for m in seen.answering]
    crowds = [(m, count) for m, count in asked if count]
    if not crowds:
        return
    small = [crowd for crowd in crowds if _each(crowd, "memory") < need]
    machine, count = min(small or crowds, key=lambda crowd: _each(crowd, "memory_free"))
    total, free = machine.facts["memory"], machine.facts["memory_free"]
    found = f"about {size(need)} a trial ({recipe.label}), {count} at a time; {machine.name} has {size(total)}"
    mend = "raise resources.cpus_per_trial so that fewer run at once, lower batch_size, or take a larger machine"
    if need * count > total:
        yield Check("memory", found, "fail", mend, stops=need > total)
    elif need * count > free:
        yield Check("memory", f"{found}, {size(free)} of it free", "warn", f"end what else runs there, or {mend}")
    else:
        yield Check("memory", f"{found}, {size(free)} of it free")


def _each(crowd: tuple[NodeInfo, int], what: str) -> float:
    machine, count = crowd
    return float(machine.facts[what]) / count


def _at_once(machine: NodeInfo, plan: Plan, needs: Resources) -> int:
    return min(capacity.slots([machine.resources], needs), len(plan.unfinished) or len(plan.trials))


def precision(seen: Inspection) -> Iterator[Check]:
    """Where all trials are float32 on processors that multiply bfloat16 themselves: what that would be worth."""
    plan = seen.plan
    if plan is None or plan.sweep.trainer != DEFAULT_TRAINER or backend() != "tensorflow" or not seen.answering:
        return
    every = [trial.recipe.settings for trial in plan.trials]
    if any(settings.precision != "float32" or settings.resources.gpus_per_trial for settings in every):
        return
    if all(BFLOAT16 in numerics.instructions_of(m.facts["numerics"]["processor"]) for m in seen.answering):
        # Measured at widths 0.125 to 1.
        advice = "`precision: mixed_bfloat16` trains 1.3 to 1.6 times as many images a second here (AVX512_BF16)"
        yield Check("precision", f"float32; {advice}")


def disk(seen: Inspection) -> Iterator[Check]:
    """Whether what the sweep keeps fits where the results go; what another kind of trainer keeps is not known."""
    if seen.plan is None or seen.plan.sweep.trainer != DEFAULT_TRAINER:
        return
    if seen.results not in seen.here.facts["disk"]:
        return
    need, free = resource_estimates.disk(seen.plan), seen.here.facts["disk"][seen.results]
    found = f"{seen.results}: {size(free)} free, {size(need.least)} to {size(need.most)} are kept in the end"
    share = len(seen.plan.unfinished) / len(seen.plan.trials)  # of finished trials it is there already
    state: State = "ok"
    if free is not None:
        state = "fail" if need.least * share > free else "warn" if need.most * share > free else "ok"
    mend = "" if state == "ok" else "make room there, give another --results, or set save_best: false"
    yield Check("results", found, state, mend, stops=state == "fail")


def cache(seen: Inspection) -> Iterator[Check]:
    """Whether the decoded images fit into the cache of every machine."""
    folder = next(iter(seen.here.facts["disk"]))
    free = {m.name: m.facts["disk"][folder] or 0 for m in seen.answering}
    images = resource_estimates.cache(seen.plan) if seen.plan else 0
    small = where(seen.answering, lambda m: [size(free[m.name])] if free[m.name] < images else [])
    if small:
        mend = "make room there, or set SWEEP_CACHE to a folder on a larger disk"
        yield Check("cache", f"{folder}: the images take {size(images)}, free: {small}", "warn", mend)
    else:
        taken = f", the images take {size(images)}" if seen.plan else ""
        yield Check("cache", f"{folder}: {size(min(free.values(), default=0))} free{taken}")


def storage(seen: Inspection) -> Iterator[Check]:
    """Whether every node sees the results."""
    if seen.unshared is None:
        return
    if seen.unshared:
        mend = "mount one folder on all nodes under this path, or give --results s3://bucket/prefix"
        yield Check("storage", f"{seen.results}: not seen by {some(seen.unshared)}", "fail", mend, stops=True)
    else:
        yield Check("storage", f"{seen.results}{everywhere(seen)}")


def data(seen: Inspection) -> Iterator[Check]:
    """Whether every node sees the images."""
    if seen.plan is None or seen.unread is None:
        return
    paths = data_paths(trial.recipe for trial in seen.plan.trials)
    if seen.unread:
        yield Check("data", f"not seen by {some(seen.unread)}", "fail", shared_storage.DATA_MEND, stops=True)
    elif paths:
        yield Check("data", f"{some(paths)}{everywhere(seen)}")
