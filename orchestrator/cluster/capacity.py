"""How many trials fit on the machines there are, as machines come and go."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from orchestrator.spec.sweep import Resources

Node = Mapping[str, float]
"""What one machine has, by Ray's names: CPU, GPU."""

PRECISION = 1e-6


def slots(nodes: Sequence[Node], needs: Resources) -> int:
    """How many trials with these `needs` run at once on `nodes`; no trial is spread over two machines.

    >>> slots([{"CPU": 4}, {"CPU": 3, "GPU": 1}], Resources(cpus_per_trial=2))
    3
    >>> slots([{"CPU": 4}, {"CPU": 3, "GPU": 1}], Resources(cpus_per_trial=1, gpus_per_trial=0.5))
    2
    """
    return sum(_on(node, needs) for node in nodes)


def _on(node: Node, needs: Resources) -> int:
    cpus = node.get("CPU", 0) // needs.cpus_per_trial
    if not needs.gpus_per_trial:
        return int(cpus)
    # A share of a GPU does not reach over two of them.
    gpus = node.get("GPU", 0)
    each = int(1 / needs.gpus_per_trial + PRECISION)
    return int(min(cpus, gpus * each if each else gpus // needs.gpus_per_trial))


class Capacity:
    """The machines as they were a moment ago, and whether one more trial fits on them."""

    def __init__(self, look: Callable[[], Sequence[Node]], every: float = 1.0, ahead: int = 0) -> None:
        """`look` gives the machines that are alive; it is asked again after `every` seconds.

        `ahead` trials more than fit may wait, for an autoscaler to see them.
        """
        self._look, self._every, self._ahead = look, every, ahead
        self._nodes: Sequence[Node] = ()
        self._slots: dict[Resources, int] = {}
        self._seen = float("-inf")

    def fits(self, needs: Resources, running: Counter[Resources]) -> bool:
        """Whether a trial with `needs` fits beside the `running` ones, or nothing runs and it has to be tried.

        Each takes its share of a cluster that is full of its kind, so that kinds can be mixed.
        """
        used = sum(count / max(self._of(kind), 1) for kind, count in running.items() if count > 0)
        if used <= 0 or used + 1 / max(self._of(needs), 1) <= 1 + PRECISION:
            return True
        return running.total() < self._of(needs) + self._ahead

    def _of(self, needs: Resources) -> int:
        now = time.monotonic()
        if now - self._seen >= self._every:
            nodes = self._look()
            if nodes != self._nodes:
                self._nodes, self._slots = nodes, {}
            self._seen = now
        if needs not in self._slots:
            self._slots[needs] = slots(self._nodes, needs)
        return self._slots[needs]
