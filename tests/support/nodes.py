"""Several Ray nodes on one machine, without root: real raylets, in a process of their own beside the tests.

The tests' own Ray and this one do not meet: another process, another token, another address.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.command import ROOT

TOKEN = "several-nodes-on-one-machine-0123456789"

PROGRAM = """
import json, sys
from ray.cluster_utils import Cluster
common = {"include_dashboard": False, "object_store_memory": 80 * 2**20}
cluster = Cluster(initialize_head=True, head_node_args={**common, **json.loads(sys.argv[1])})
nodes = []
print(cluster.address, flush=True)
for line in sys.stdin:
    verb, _, rest = line.strip().partition(" ")
    if verb == "add":
        nodes.append(cluster.add_node(object_store_memory=80 * 2**20, **json.loads(rest)))
        print(nodes[-1].node_id, flush=True)
    else:
        cluster.remove_node(nodes.pop(int(rest)), allow_graceful=False)
        print("removed", flush=True)
cluster.shutdown()
"""


class Nodes:
    """A head, and nodes that come and go."""

    def __init__(self, process: subprocess.Popen[str], environment: dict[str, str]) -> None:
        """The cluster that `process` holds; `environment` is what a process needs to join it."""
        self._process, self.environment = process, environment
        self.address, self.ids = self._answer(), list[str]()

    def add(self, **options: Any) -> str:
        """One more node, with Ray's options for it, for example num_cpus; its id."""
        self.ids.append(self._ask(f"add {json.dumps(options)}"))
        return self.ids[-1]

    def remove(self, number: int) -> None:
        """Kill the node that was added as `number`, at once and with all that runs on it."""
        self._ask(f"remove {number}")
        del self.ids[number]

    def sweep(self, *arguments: str | Path, **environment: str) -> "subprocess.Popen[str]":
        """`sweep` with these arguments, started, in the environment of the cluster."""
        return subprocess.Popen(
            [Path(sys.executable).with_name("sweep"), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**self.environment, **environment},
        )

    def _ask(self, what: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "the cluster's process has ended"
        return line


@contextmanager
def nodes(folder: Path, *, token: str = TOKEN, head_cpus: int = 0, **environment: str) -> Iterator[Nodes]:
    """A cluster with a head, its nodes in an `environment` of their own. `folder` keeps the token."""
    key = folder / "auth_token"
    key.write_text(token)
    key.chmod(0o600)
    ours = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(key), "PYTHONPATH": str(ROOT)}
    left_out = ("RAY_ADDRESS", "RAY_AUTH_TOKEN")
    inherited = {k: v for k, v in os.environ.items() if k not in left_out}
    environment = {**inherited, **ours, **environment}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps({"num_cpus": head_cpus})],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env=environment,
    ) as process:
        try:
            yield Nodes(process, environment)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
