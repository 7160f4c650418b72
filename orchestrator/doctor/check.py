"""The result of a check, the facts that checks judge, and the phrases that results share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.cluster.node_inventory import NodeInfo
from orchestrator.planning.plan import Plan

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One row: its `name`, the `finding`, and the `fix` where the state is not ok.

    With `stops` a run cannot succeed, so `sweep run` refuses to begin.
    """

    name: str
    finding: str
    state: State = "ok"
    fix: str = ""
    stops: bool = False

    @property
    def line(self) -> str:
        """The check in one line."""
        return f"{self.state}: {self.name}: {self.finding}; {self.fix}"


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """The facts that checks judge: `local` is this process's machine, `nodes` are the machines that would train.

    `address` is the cluster's, None for this machine alone. `dashboard` is the host:port of Ray's dashboard.
    `blind_to_results` and `blind_to_data` are the nodes that do not see them, None where no test was made.
    """

    local: NodeInfo
    nodes: Sequence[NodeInfo]
    plan: Plan | None = None
    results: str | None = None
    address: str | None = None
    dashboard: str | None = None
    blind_to_results: Sequence[str] | None = None
    blind_to_data: Sequence[str] | None = None

    @property
    def answering(self) -> Sequence[NodeInfo]:
        """The nodes that answered."""
        return [node for node in self.nodes if not node.silence]


def problems_by_node(nodes: Sequence[NodeInfo], problems: Callable[[NodeInfo], Sequence[str]]) -> str:
    """The nodes that have `problems`, each with them; empty where none has."""
    return shortened([f"{node.name} ({', '.join(texts)})" for node in nodes if (texts := problems(node))])


def shortened(names: Sequence[str], shown: int = 4) -> str:
    """The first names of a list, and the number of the others.

    >>> shortened(["a", "b", "c"], shown=2)
    'a, b and 1 more'
    """
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest


def on_all_nodes(inspection: Inspection) -> str:
    """The end of a finding that holds for every node; empty for this machine alone."""
    return f", the same on {len(inspection.answering)} nodes" if inspection.address else ""


def size(count: float | None) -> str:
    """A number of bytes for people.

    >>> size(3 * 2**30), size(5 * 2**20)
    ('3.0 GiB', '5 MiB')
    """
    if count is None:
        return "unknown"
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.0f} MiB"
