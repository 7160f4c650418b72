"""A check's row, what there is to judge, and the words that rows are made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator.cluster.node_inventory import NodeInfo
from orchestrator.planning.plan import Plan

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One row: its name, what was `found`, and the `mend` where it is not ok.

    `stops` says that a run cannot work like this, so that `sweep run` refuses to begin.
    """

    name: str
    found: str
    state: State = "ok"
    mend: str = ""
    stops: bool = False


@dataclass(frozen=True)
class Inspection:
    """What the checks judge. `here` is this process's machine, `machines` are those that would train.

    `dashboard` is where Ray's dashboard listens, if it does; `unshared` are nodes that do not see the results,
    `unread` that do not see the data, None where nobody has looked.
    """

    here: NodeInfo
    machines: Sequence[NodeInfo]
    plan: Plan | None = None
    results: str | None = None
    address: str | None = None
    dashboard: str | None = None
    unshared: Sequence[str] | None = None
    unread: Sequence[str] | None = None

    @property
    def answering(self) -> Sequence[NodeInfo]:
        """The machines that answered."""
        return [m for m in self.machines if not m.silence]


def where(machines: Sequence[NodeInfo], wrong: Callable[[NodeInfo], Sequence[str]]) -> str:
    """What is wrong on which machine, empty where nothing is."""
    return some([f"{m.name} ({', '.join(found)})" for m in machines if (found := wrong(m))])


def some(names: Sequence[str], shown: int = 4) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def everywhere(seen: Inspection) -> str:
    return f", the same on {len(seen.answering)} nodes" if seen.address else ""


def size(count: float | None) -> str:
    if count is None:
        return "unknown"
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.0f} MiB"
