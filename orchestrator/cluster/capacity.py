"""How many trials fit on the nodes at once, while nodes join and leave."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from orchestrator.spec.sweep import Resources

Node = Mapping[str, float]
"""The resources of one node, by Ray's names: CPU, GPU."""

PRECISION = 1e-6


def slots(nodes: Sequence[Node], needs: Resources) -> int:
    """How many trials with these `needs` run at once on `nodes`; each trial runs on a single node.

    >>> slots([{"CPU": 4}, {"CPU": 3, "GPU": 1}], Resources(cpus_per_trial=2))
    3
    >>> slots([{"CPU": 4}, {"CPU": 3, "GPU": 1}], Resources(cpus_per_trial=1, gpus_per_trial=0.5))
    2
    """
    return sum(_slots_on(node, needs) for node in nodes)


def _slots_on(node: Node, needs: Resources) -> int:
    by_cpus = node.get("CPU", 0) // needs.cpus_per_trial
    if not needs.gpus_per_trial:
        return int(by_cpus)
    # A fraction of a GPU lies on a single GPU.
    gpus = node.get("GPU", 0)
    trials_per_gpu = int(1 / needs.gpus_per_trial + PRECISION)
    return int(min(by_cpus, gpus * trials_per_gpu if trials_per_gpu else gpus // needs.gpus_per_trial))


class Capacity:
    """The nodes as they were a moment ago, and whether one more trial fits on them."""

    def __init__(self, live_nodes: Callable[[], Sequence[Node]], interval: float = 1.0, queue: int = 0) -> None:
        """`live_nodes()` gives the live nodes, and is called at most once in `interval` seconds.

        As many as `queue` trials more than fit may wait, so that an autoscaler starts nodes for them.
        """
        self._live_nodes, self._interval, self._queue = live_nodes, interval, queue
        self._nodes: Sequence[Node] = ()
        self._slots: dict[Resources, int] = {}
        self._updated = float("-inf")

    def fits(self, needs: Resources, running: Counter[Resources]) -> bool:
        """Whether a trial with `needs` fits beside the `running` ones; with none running, it always does.

        Trials with other needs count by the fraction of the cluster that they occupy.
        """
        occupied = sum(count / max(self._slots_for(kind), 1) for kind, count in running.items() if count > 0)
        if occupied <= 0 or occupied + 1 / max(self._slots_for(needs), 1) <= 1 + PRECISION:
            return True
        return running.total() < self._slots_for(needs) + self._queue

    def _slots_for(self, needs: Resources) -> int:
        time_now = time.monotonic()
        if time_now - self._updated >= self._interval:
            nodes = self._live_nodes()
            if nodes != self._nodes:
                self._nodes, self._slots = nodes, {}
            self._updated = time_now
        if needs not in self._slots:
            self._slots[needs] = slots(self._nodes, needs)
        return self._slots[needs]
