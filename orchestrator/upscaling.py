"""What a run asks of a cluster that grows and shrinks: room for every trial that has not ended."""

import time
from collections import Counter
from collections.abc import Callable

from orchestrator import cluster
from orchestrator.sweep import Resources

Bundle = dict[str, float]

MOST = 10_000
"""Trials that are asked for at a time: an autoscaler packs them one by one."""


def ask(bundles: list[Bundle]) -> None:
    """Tell the connected cluster's autoscaler what should fit; nothing where there is none."""
    if not cluster.may_start():
        return
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=bundles)


class Upscaling:
    """Asks for nodes while trials wait, and for fewer as they end; asked for nothing, idle nodes go back.

    Tune holds no more trials than fit on the nodes there are, so an autoscaler would see that nobody waits.
    """

    def __init__(self, ask: Callable[[list[Bundle]], None] = ask, every: float = 10.0) -> None:
        """`ask` is told at most once in `every` seconds."""
        self._ask, self._every = ask, every
        self._asked: Counter[Resources] = Counter()
        self._at = float("-inf")

    def want(self, unended: Callable[[], Counter[Resources]]) -> None:
        """There should be room for these trials, counted by what each needs."""
        now = time.monotonic()
        if now - self._at < self._every:
            return
        self._at = now
        wanted = unended()
        if wanted != self._asked:
            self._asked = wanted
            bundles = [{"CPU": float(n.cpus_per_trial), "GPU": n.gpus_per_trial} for n in wanted.elements()]
            self._ask([{k: v for k, v in bundle.items() if v} for bundle in bundles[:MOST]])

    def end(self) -> None:
        """The run is over."""
        if self._asked:
            self._ask([])
