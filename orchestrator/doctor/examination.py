"""Problems of a machine or a cluster, before a sweep begins: checks, each with its fix.

A check is a function of an Inspection. `sweep doctor` shows all checks; `sweep run` calls `require` on the same.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.settings import InputError
from orchestrator.cluster import connection_check, node_inventory, ray_internals, ray_session, shared_storage
from orchestrator.doctor import capacity_checks, node_checks
from orchestrator.doctor.check import Check, Inspection
from orchestrator.planning.plan import Plan
from orchestrator.spec.trials import data_paths
from orchestrator.storage.store import Store

CHECKS: tuple[Callable[[Inspection], Iterator[Check]], ...] = (
    node_checks.nodes,
    node_checks.versions,
    node_checks.code,
    node_checks.numbers,
    node_checks.token,
    node_checks.dashboard,
    node_checks.clocks,
    node_checks.open_files,
    capacity_checks.trial_slots,
    capacity_checks.memory,
    capacity_checks.precision,
    capacity_checks.disk,
    capacity_checks.cache,
    capacity_checks.storage,
    capacity_checks.data,
)


def examine(plan: Plan | None, store: Store | None, address: str | None) -> list[Check]:
    """Check this machine, or the cluster at `address`, for any sweep or for that of `plan`."""
    results = store.address if store else ""
    paths = data_paths(trial.recipe for trial in plan.trials) if plan else []
    blind_to_results = blind_to_data = None
    with ExitStack() as stack:
        if address is not None:
            try:
                stack.enter_context(
                    ray_session.connected(address, {}, shared_storage.credentials(results, *paths))
                )
            except connection_check.NotJoined as error:
                return [Check("cluster", error.problem, "fail", error.fix, stops=True)]
            if store is not None:
                blind_to_results = shared_storage.nodes_without_results(results)
            blind_to_data = shared_storage.nodes_without_data(paths)
        return judge(inspect(plan, store, address, blind_to_results, blind_to_data))


def inspect(
    plan: Plan | None,
    store: Store | None,
    address: str | None,
    blind_to_results: Sequence[str] | None = None,
    blind_to_data: Sequence[str] | None = None,
) -> Inspection:
    """The facts to judge: of this machine, or of every node of the connected cluster."""
    results = None if store is None else store.address
    local = node_inventory.this_machine(results)
    if address is None:
        return Inspection(local=local, nodes=[local], plan=plan, results=results)
    return Inspection(
        local=local,
        nodes=node_inventory.cluster_nodes(results),
        plan=plan,
        results=results,
        address=address,
        dashboard=ray_internals.dashboard_address(),
        blind_to_results=blind_to_results,
        blind_to_data=blind_to_data,
    )


def judge(inspection: Inspection) -> list[Check]:
    """All checks, in order."""
    return [check for checks in CHECKS for check in checks(inspection)]


def require(checks: Sequence[Check]) -> list[Check]:
    """The `checks` that people should read before a run. Raises InputError for those that stop it."""
    stopping = [f"{check.name}: {check.finding}; {check.fix}" for check in checks if check.stops]
    if stopping:
        raise InputError("\n".join(stopping))
    return [check for check in checks if check.state != "ok"]


def passes(checks: Sequence[Check]) -> bool:
    """Whether no check has failed."""
    return all(check.state != "fail" for check in checks)


def as_json(checks: Sequence[Check], sweep: str | None, address: str | None) -> dict[str, Any]:
    """`sweep doctor --json`."""
    return {
        "sweep": sweep,
        "address": address,
        "ok": passes(checks),
        "checks": [{"name": c.name, "found": c.finding, "state": c.state, "mend": c.fix} for c in checks],
    }


def render(checks: Sequence[Check], console: Console) -> None:
    """Print the rows, and under each that is not ok its fix."""
    table = Table(box=None, padding=(0, 1), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    styles = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    for check in checks:
        table.add_row(Text(check.state, style=styles[check.state]), Text(check.name), Text(check.finding))
        if check.fix:
            table.add_row("", "", Text(f"→ {check.fix}"))
    console.print(table, highlight=False)
