"""Whether the nodes answer, are safe, and are alike."""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from experiments import numerics
from experiments.environment import backend
from orchestrator.cluster.conditions import Conditions
from orchestrator.cluster.node_inventory import NodeInfo
from orchestrator.doctor.check import Check, Inspection, on_all_nodes, problems_by_node, shortened, size

SKEW = 2.0
"""Seconds between clocks that do no harm: records hold the time of an epoch, and no result depends on it."""
FILES_BASE, FILES_PER_WORKER = 1024, 64
"""How many files a process must be allowed to open: in all, and for each worker of a node."""


def nodes(inspection: Inspection) -> Iterator[Check]:
    """Which nodes there are, and whether all of them answer."""
    if inspection.address is None:
        yield Check("machine", _summary(inspection.local))
        return
    silent = [f"{node.name} ({node.silence})" for node in inspection.nodes if node.silence]
    if silent:
        yield Check(
            "nodes",
            f"no answer from {shortened(silent)}",
            "fail",
            "on that node see /tmp/ray/session_latest/logs, or take it out with `ray stop`",
            stops=True,
        )
    answering = inspection.answering
    if answering:
        yield Check("nodes", f"{len(answering)} answer: {shortened([_summary(node) for node in answering])}")


def versions(inspection: Inspection) -> Iterator[Check]:
    """Whether every node has the same versions of Ray and of the libraries that decide numbers."""
    missing = problems_by_node(
        inspection.answering, lambda node: [name for name, v in node.facts["versions"].items() if v is None]
    )
    if missing:
        yield Check("versions", f"missing: {missing}", "fail", "run `make install` there", stops=True)
        return
    local = _versions_of(inspection.local)
    different = problems_by_node(inspection.answering, lambda node: _differences(_versions_of(node), local))
    if different:
        fix = f"install the same requirements.lock there; here are {_listed(local)}"
        yield Check("versions", f"other than here: {different}", "fail", fix, stops=True)
        return
    yield Check("versions", f"{_listed(local)}{on_all_nodes(inspection)}")


def code(inspection: Inspection) -> Iterator[Check]:
    """Whether every node has the same source files of this project."""
    local = inspection.local.facts["code"]
    different = problems_by_node(
        inspection.answering, lambda n: [n.facts["code"] or "missing"] if n.facts["code"] != local else []
    )
    if different:
        fix = "bring the project's files to the same state on every node: numbers may depend on them"
        yield Check("project", f"other than here ({local}): {different}", "fail", fix, stops=True)
        return
    yield Check("project", f"source {local}{on_all_nodes(inspection)}")


ALIKE_FIX = (
    "train on machines that are alike, with the same variables; or set resources.hardware to what is said here of "
    "those that are to train, or to 'any' where the last bits do not matter"
)
GPU_FIX = (
    "set resources.hardware to what `sweep doctor` says on a machine that is to train, or to 'any' where the last "
    "bits do not matter; or start the sweep on such a machine"
)


def numbers(inspection: Inspection) -> Iterator[Check]:
    """Whether every node that would train computes the numbers that the trials' keys stand for.

    Without a plan: whether all nodes compute the same.
    """
    for expected, gpu in (requirements := _requirements(inspection)):
        different = problems_by_node(
            _with_kind(inspection, gpu),
            lambda node, e=expected, g=gpu: _conditions_on(node, g, e).differences(e),  # type: ignore[misc]
        )
        if different and not inspection.plan:
            yield Check("numbers", f"machines differ: {different}", "warn", ALIKE_FIX)
            return
        if different:
            yield Check("numbers", f"other than the keys say: {different}", "fail", ALIKE_FIX, stops=True)
            return
        if expected.hardware.startswith(numerics.NO_GPU):
            finding = f"the keys would stand for {expected.hardware}, and a trial asks for one"
            yield Check("numbers", finding, "fail", GPU_FIX, stops=True)
            return
    lines = dict.fromkeys(f"{e.backend} on {e.hardware}{_assignments(e.environment)}" for e, _ in requirements)
    yield Check("numbers", f"{'; '.join(lines)}{on_all_nodes(inspection)}")


def _requirements(inspection: Inspection) -> list[tuple[Conditions, bool]]:
    """The conditions of the plan's trials, and whether on a GPU; or those of the first node of each kind."""
    if inspection.plan is None:
        examples = [(_with_kind(inspection, gpu)[:1], gpu) for gpu in (False, True)]
        return [(_conditions_on(node, gpu), gpu) for nodes, gpu in examples for node in nodes]
    root_facts = inspection.plan.root_facts
    recipes = {id(trial.recipe): trial.recipe for trial in inspection.plan.trials}.values()
    pairs = ((root_facts.conditions(r), r.settings.resources.gpus_per_trial > 0) for r in recipes)
    return list({repr(pair): pair for pair in pairs}.values())


def _with_kind(inspection: Inspection, gpu: bool) -> list[NodeInfo]:
    return [node for node in inspection.answering if node.resources.get("GPU" if gpu else "CPU", 0)]


def _conditions_on(node: NodeInfo, gpu: bool, expected: Conditions | None = None) -> Conditions:
    """A node's conditions, with the trainer and the backend `expected`: workers check those themselves."""
    facts = node.facts["numerics"]
    trainer, backend_name = (expected.trainer, expected.backend) if expected else ("", backend())
    hardware: str = facts["gpu" if gpu else "processor"]
    if expected and expected.hardware == numerics.ANY:
        hardware = numerics.ANY
    variables = numerics.environment(facts["variables"], backend_name, hardware, gpu)
    return Conditions(trainer=trainer, backend=backend_name, hardware=hardware, environment=variables)


def _assignments(variables: Mapping[str, str]) -> str:
    return "".join(f", {name}={value}" for name, value in variables.items())


def token(inspection: Inspection) -> Iterator[Check]:
    """Whether strangers have no access: token mode is on, and only its owner can read the token file."""
    is_cluster = inspection.address is not None
    machines = [inspection.local, *inspection.answering] if is_cluster else [inspection.local]
    readable = problems_by_node(
        machines, lambda m: [f"{m.facts['key']:04o}"] if (m.facts["key"] or 0) & 0o077 else []
    )
    if readable:
        yield Check("token", f"others may read the key file: {readable}", "fail", "chmod 600 ~/.ray/auth_token")
        return
    without_token = problems_by_node(machines, lambda machine: _token_mode_problem(machine, is_cluster))
    if without_token:
        fix = (
            "`ray get-auth-token --generate` once, the same file on every node, and RAY_AUTH_MODE=token in front "
            "of every `ray start`: without, whoever reaches the ports may run code"
        )
        yield Check("token", f"token mode: {without_token}", "fail" if is_cluster else "warn", fix)
        return
    yield Check("token", f"token mode on{on_all_nodes(inspection)}" if is_cluster else "a run here makes its own")


def _token_mode_problem(machine: NodeInfo, required: bool) -> list[str]:
    mode = machine.facts["token_mode"].lower()
    return [mode or "not set"] if mode != "token" and (required or mode) else []


def dashboard(inspection: Inspection) -> Iterator[Check]:
    """Whether Ray's dashboard, which runs any code it is sent, listens on loopback only."""
    if inspection.address is None:
        return
    host = (inspection.dashboard or "").rpartition(":")[0].strip("[]")
    if not host:
        yield Check("dashboard", "none")
    elif _is_loopback(host):
        yield Check("dashboard", f"on loopback ({inspection.dashboard})")
    else:
        fix = "start the head with --dashboard-host=127.0.0.1 and reach it through ssh -L 8265:127.0.0.1:8265"
        yield Check("dashboard", f"{inspection.dashboard} can be reached from elsewhere", "fail", fix)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def clocks(inspection: Inspection) -> Iterator[Check]:
    """Whether the clocks agree."""
    answering = inspection.answering
    if inspection.address is None or not answering:
        return
    skewed = [node for node in answering if abs(node.skew) - node.skew_within > SKEW]
    if skewed:
        skews = shortened([f"{node.name} by {node.skew:+.1f} s" for node in skewed])
        fix = "start a time service there, for example chrony"
        yield Check("clocks", f"off from here: {skews}", "warn", fix)
    else:
        largest = max(answering, key=lambda node: abs(node.skew))
        yield Check("clocks", f"within {abs(largest.skew) + largest.skew_within:.3f} s of here")


def open_files(inspection: Inspection) -> Iterator[Check]:
    """Whether Ray may open as many files as its workers need."""
    answering = inspection.answering
    low_limits = problems_by_node(
        answering, lambda n: [str(n.facts["files"])] if 0 < n.facts["files"] < _files_needed(n) else []
    )
    if low_limits:
        yield Check("open files", low_limits, "warn", "ulimit -n 65536 before Ray starts")
    else:
        lowest = min((node.facts["files"] for node in answering), default=0)
        yield Check("open files", f"{lowest} allowed")


def _files_needed(node: NodeInfo) -> float:
    return FILES_BASE + FILES_PER_WORKER * node.resources.get("CPU", 0)


def _versions_of(machine: NodeInfo) -> dict[str, str]:
    return {"python": machine.facts["python"], **machine.facts["versions"]}


def _differences(actual: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    return [f"{name} {actual[name]}" for name in expected if actual[name] != expected[name]]


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _summary(machine: NodeInfo) -> str:
    cpus, gpus = machine.resources.get("CPU", 0), machine.resources.get("GPU", 0)
    memory = size(machine.facts["memory"])
    return f"{machine.name}: {cpus:g} CPUs, {gpus:g} GPUs, {memory}"
