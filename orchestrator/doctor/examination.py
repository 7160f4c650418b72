"""What is wrong with a machine or a cluster, before a sweep finds out: checks, each with its mend.

A check is a function of what was seen; `examine` looks, and `require` is what a run asks of the same checks.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.settings import InputError
from orchestrator.cluster import connection_check, node_inventory, ray_session, shared_storage
from orchestrator.doctor import capacity_checks, node_checks
from orchestrator.doctor.check import Check, Inspection
from orchestrator.planning.plan import Plan
from orchestrator.spec.trials import data_paths
from orchestrator.storage.store import Store

CHECKS: tuple[Callable[[Inspection], Iterator[Check]], ...] = (
    node_checks.machines, node_checks.versions, node_checks.code, node_checks.numbers, node_checks.token, node_checks.dashboard, node_checks.clocks,
    node_checks.files, capacity_checks.room, capacity_checks.memory, capacity_checks.precision, capacity_checks.disk, capacity_checks.cache, capacity_checks.storage, capacity_checks.data,
)  # fmt: skip


def examine(plan: Plan | None, store: Store | None, address: str | None) -> list[Check]:
    """Look at this machine, or at the cluster at `address`, for any sweep or for that of `plan`."""
    results = store.address if store else ""
    paths = data_paths(trial.recipe for trial in plan.trials) if plan else []
    unshared = unread = None
    with ExitStack() as stack:
        if address is not None:
            try:
                stack.enter_context(
                    ray_session.connected(address, {}, shared_storage.credentials(results, *paths))
                )
            except connection_check.NotJoined as error:
                return [Check("cluster", error.found, "fail", error.mend, stops=True)]
            if store is not None:
                unshared = shared_storage.unseen_by(results)
            unread = shared_storage.without(paths)
        return judge(look(plan, store, address, unshared, unread))


def look(
    plan: Plan | None,
    store: Store | None,
    address: str | None,
    unshared: Sequence[str] | None = None,
    unread: Sequence[str] | None = None,
) -> Inspection:
    """What there is to judge: here, or on every node of the cluster that is connected."""
    results = None if store is None else store.address
    here = node_inventory.here(results)
    if address is None:
        return Inspection(here, [here], plan, results)
    machines = node_inventory.cluster(results)
    return Inspection(here, machines, plan, results, address, ray_session.dashboard(), unshared, unread)


def judge(seen: Inspection) -> list[Check]:
    """All checks, in order."""
    return [check for find in CHECKS for check in find(seen)]


def require(checks: Sequence[Check]) -> list[Check]:
    """What people should know of `checks` before a run. Raises InputError for those with which it cannot work."""
    stopping = [f"{check.name}: {check.found}; {check.mend}" for check in checks if check.stops]
    if stopping:
        raise InputError("\n".join(stopping))
    return [check for check in checks if check.state != "ok"]


def well(checks: Sequence[Check]) -> bool:
    """Whether no check has failed."""
    return all(check.state != "fail" for check in checks)


def as_json(checks: Sequence[Check], sweep: str | None, address: str | None) -> dict[str, Any]:
    """`sweep doctor --json`."""
    return {
        "sweep": sweep,
        "address": address,
        "ok": well(checks),
        "checks": [{"name": c.name, "found": c.found, "state": c.state, "mend": c.mend} for c in checks],
    }


def render(checks: Sequence[Check], console: Console) -> None:
    """Print the rows, and under each that is not ok its mend."""
    table = Table(box=None, padding=(0, 1), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    styles = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    for check in checks:
        table.add_row(Text(check.state, style=styles[check.state]), Text(check.name), Text(check.found))
        if check.mend:
            table.add_row("", "", Text(f"→ {check.mend}"))
    console.print(table, highlight=False)
