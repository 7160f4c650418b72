"""Are the machines well, and are they alike?"""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from experiments import numerics
from experiments.environment import backend
from orchestrator.cluster.conditions import Conditions
from orchestrator.cluster.node_inventory import NodeInfo
from orchestrator.doctor.check import Check, Inspection, everywhere, size, some, where

SKEW = 2.0
"""Seconds between clocks that do no harm: records say when an epoch began, not what it gave."""
FILES_LEAST, FILES_EACH = 1024, 64
"""How many files a process may have to open: in all, and Ray's for each worker of a machine."""


def machines(seen: Inspection) -> Iterator[Check]:
    """Which machines there are, and whether all of them answer."""
    if seen.address is None:
        yield Check("machine", _sizes(seen.here))
        return
    silent = [f"{m.name} ({m.silence})" for m in seen.machines if m.silence]
    if silent:
        yield Check(
            "nodes",
            f"no answer from {some(silent)}",
            "fail",
            "on that node see /tmp/ray/session_latest/logs, or take it out with `ray stop`",
            stops=True,
        )
    if seen.answering:
        yield Check("nodes", f"{len(seen.answering)} answer: {some([_sizes(m) for m in seen.answering])}")


def versions(seen: Inspection) -> Iterator[Check]:
    """Whether every machine has the same versions of all that decides numbers, and of Ray."""
    missing = where(seen.answering, lambda m: [n for n, v in m.facts["versions"].items() if v is None])
    if missing:
        yield Check("versions", f"missing: {missing}", "fail", "run `make install` there", stops=True)
        return
    others = where(seen.answering, lambda m: _differing(seen.here, m))
    if others:
        mend = f"install the same requirements.lock there; here are {_listed(_versions_of(seen.here))}"
        yield Check("versions", f"other than here: {others}", "fail", mend, stops=True)
        return
    yield Check("versions", f"{_listed(_versions_of(seen.here))}{everywhere(seen)}")


def code(seen: Inspection) -> Iterator[Check]:
    """Whether every machine has the same source files of this project."""
    ours = seen.here.facts["code"]
    others = where(seen.answering, lambda m: [m.facts["code"] or "missing"] if m.facts["code"] != ours else [])
    if others:
        mend = "bring the project's files to the same state on every node: numbers may depend on them"
        yield Check("project", f"other than here ({ours}): {others}", "fail", mend, stops=True)
        return
    yield Check("project", f"source {ours}{everywhere(seen)}")


ALIKE = (
    "train on machines that are alike, with the same variables; or set resources.hardware to what is said here of "
    "those that are to train, or to 'any' where the last bits do not matter"
)
NAME_GPU = (
    "set resources.hardware to what `sweep doctor` says on a machine that is to train, or to 'any' where the last "
    "bits do not matter; or start the sweep on such a machine"
)


def numbers(seen: Inspection) -> Iterator[Check]:
    """Whether every machine that would train computes the numbers that the trials' keys stand for.

    Where there is no plan, whether all machines compute the same.
    """
    for expected, gpu in (wanted := _wanted(seen)):
        others = where(_of_kind(seen, gpu), lambda m, e=expected, g=gpu: _own(m, g, e).unlike(e))  # type: ignore[misc]
        if others and not seen.plan:
            yield Check("numbers", f"machines differ: {others}", "warn", ALIKE)
            return
        if others:
            yield Check("numbers", f"other than the keys say: {others}", "fail", ALIKE, stops=True)
            return
        if expected.hardware.startswith(numerics.NO_GPU):
            found = f"the keys would stand for {expected.hardware}, and a trial asks for one"
            yield Check("numbers", found, "fail", NAME_GPU, stops=True)
            return
    lines = dict.fromkeys(f"{e.backend} on {e.hardware}{_listed_behind(e.environment)}" for e, _ in wanted)
    yield Check("numbers", f"{'; '.join(lines)}{everywhere(seen)}")


def _wanted(seen: Inspection) -> list[tuple[Conditions, bool]]:
    """The conditions of the plan's trials, and whether on a GPU; or those of the first machine of each kind."""
    if seen.plan is None:
        first = [(_of_kind(seen, gpu)[:1], gpu) for gpu in (False, True)]
        return [(_own(machine, gpu), gpu) for machines, gpu in first for machine in machines]
    recipes = {id(trial.recipe): trial.recipe for trial in seen.plan.trials}.values()
    each = ((seen.plan.root_facts.conditions(r), r.settings.resources.gpus_per_trial > 0) for r in recipes)
    return list({repr(wanted): wanted for wanted in each}.values())


def _of_kind(seen: Inspection, gpu: bool) -> list[NodeInfo]:
    return [m for m in seen.answering if m.resources.get("GPU" if gpu else "CPU", 0)]


def _own(machine: NodeInfo, gpu: bool, expected: Conditions | None = None) -> Conditions:
    """A machine's conditions; the trainer's source and the backend are the run's, which workers look at."""
    told = machine.facts["numerics"]
    trainer, name = (expected.trainer, expected.backend) if expected else ("", backend())
    own: str = told["gpu" if gpu else "processor"]
    line = numerics.ANY if expected and expected.hardware == numerics.ANY else own
    return Conditions(trainer, name, line, numerics.environment(told["variables"], name, line, gpu))


def _listed_behind(variables: Mapping[str, str]) -> str:
    return "".join(f", {name}={value}" for name, value in variables.items())


def token(seen: Inspection) -> Iterator[Check]:
    """Whether strangers are kept out: token mode, and a key file that only its owner reads."""
    asked = [seen.here, *seen.answering] if seen.address else [seen.here]
    open_keys = where(asked, lambda m: [f"{m.facts['key']:04o}"] if (m.facts["key"] or 0) & 0o077 else [])
    if open_keys:
        yield Check("token", f"others may read the key file: {open_keys}", "fail", "chmod 600 ~/.ray/auth_token")
        return
    off = where(asked, lambda m: _token_off(m, seen.address is not None))
    if off:
        mend = (
            "`ray get-auth-token --generate` once, the same file on every node, and RAY_AUTH_MODE=token in front "
            "of every `ray start`: without, whoever reaches the ports may run code"
        )
        yield Check("token", f"token mode: {off}", "fail" if seen.address else "warn", mend)
        return
    yield Check("token", f"token mode on{everywhere(seen)}" if seen.address else "a run here makes its own")


def _token_off(asked: NodeInfo, wanted: bool) -> list[str]:
    mode = asked.facts["token_mode"].lower()
    return [mode or "not set"] if mode != "token" and (wanted or mode) else []


def dashboard(seen: Inspection) -> Iterator[Check]:
    """Whether Ray's dashboard, which runs what it is told to, listens on loopback only."""
    if seen.address is None:
        return
    host = (seen.dashboard or "").rpartition(":")[0].strip("[]")
    if not host:
        yield Check("dashboard", "none")
    elif _loopback(host):
        yield Check("dashboard", f"on loopback ({seen.dashboard})")
    else:
        mend = "start the head with --dashboard-host=127.0.0.1 and reach it through ssh -L 8265:127.0.0.1:8265"
        yield Check("dashboard", f"{seen.dashboard} can be reached from elsewhere", "fail", mend)


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def clocks(seen: Inspection) -> Iterator[Check]:
    """Whether the clocks agree."""
    if seen.address is None or not seen.answering:
        return
    apart = [m for m in seen.answering if abs(m.skew) - m.skew_within > SKEW]
    worst = max(seen.answering, key=lambda m: abs(m.skew))
    if apart:
        found = some([f"{m.name} by {m.skew:+.1f} s" for m in apart])
        mend = "start a time service there, for example chrony"
        yield Check("clocks", f"off from here: {found}", "warn", mend)
    else:
        yield Check("clocks", f"within {abs(worst.skew) + worst.skew_within:.3f} s of here")


def files(seen: Inspection) -> Iterator[Check]:
    """Whether Ray may open as many files as its workers need."""
    few = where(seen.answering, lambda m: [str(m.facts["files"])] if 0 < m.facts["files"] < _files(m) else [])
    if few:
        yield Check("open files", few, "warn", "ulimit -n 65536 before Ray starts")
    else:
        least = min((m.facts["files"] for m in seen.answering), default=0)
        yield Check("open files", f"{least} allowed")


def _files(machine: NodeInfo) -> float:
    return FILES_LEAST + FILES_EACH * machine.resources.get("CPU", 0)


def _versions_of(machine: NodeInfo) -> dict[str, str]:
    return {"python": machine.facts["python"], **machine.facts["versions"]}


def _differing(here: NodeInfo, there: NodeInfo) -> list[str]:
    ours, theirs = _versions_of(here), _versions_of(there)
    return [f"{name} {theirs[name]}" for name in ours if theirs[name] != ours[name]]


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _sizes(machine: NodeInfo) -> str:
    cpus, gpus = machine.resources.get("CPU", 0), machine.resources.get("GPU", 0)
    memory = size(machine.facts["memory"])
    return f"{machine.name}: {cpus:g} CPUs, {gpus:g} GPUs, {memory}"
