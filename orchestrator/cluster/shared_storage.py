"""Whether all nodes of a Ray cluster see the same results folder and the data.

For the results, each node reads a marker file that this process wrote, and writes a file that this process reads.
For the data, each node lists the files.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from experiments import datasets
from experiments.environment import cache_folder
from experiments.object_store import is_address
from experiments.settings import InputError, last_line_of
from orchestrator.storage.filesystem import Files
from orchestrator.storage.opening import files_at

PATIENCE = 60.0
"""Seconds for a node to start a process and to answer."""


def require(results: str, data: Sequence[str]) -> None:
    """Raise InputError with the nodes of the connected cluster that do not see `results`, or the `data`."""
    blind_nodes = nodes_without_results(results)
    if blind_nodes:
        raise InputError(message(results, blind_nodes))
    blind_nodes = nodes_without_data(data)
    if blind_nodes:
        raise InputError(f"data.path: not seen by {'; '.join(blind_nodes)}; {DATA_FIX}")


DATA_FIX = "put the data under the same path on every node, or give the address of a bucket: s3://bucket/prefix"


def message(results: str, nodes: Sequence[str]) -> str:
    """The error for `nodes` that do not see `results`, with its fix."""
    fix = "give these nodes the same credentials and endpoint, and a way to it"
    if not is_address(results):
        fix = "mount one folder on all nodes under this path, or give --results s3://bucket/prefix"
    return f"--results {results}: not seen by {'; '.join(nodes)}; {fix}"


def nodes_without_results(results: str) -> list[str]:
    """The live nodes of the connected Ray cluster that do not see and write `results`, each with the reason.

    `results` is a folder's absolute path or an object store's address; no file of this test stays in it. Raises
    StoreError or InputError where this process cannot write there.
    """
    nodes = _nodes()
    if not nodes:
        return []
    is_new = not is_address(results) and not os.path.exists(results)
    files, code = files_at(results), uuid4().hex
    marker = f"shared-{code}"
    replies = {node["NodeID"]: f"{marker}-{node['NodeID']}" for node in nodes}
    files.write(marker, code.encode())
    try:
        answers = _answers(nodes, _read_and_reply, lambda node: (results, marker, replies[node["NodeID"]]))
        problems = {}
        for node, answer in answers.items():
            problems[node] = answer
            if answer == code:
                is_visible = _has_file(files, replies[node])
                problems[node] = "" if is_visible else "what it writes there is not seen from here"
        return _with_problems(nodes, problems)
    finally:
        for name in (marker, *replies.values()):
            files.delete(name)
        if is_new:
            os.rmdir(results)


def nodes_without_data(data: Sequence[str]) -> list[str]:
    """The live nodes of the connected Ray cluster that do not see the `data`, each with the reason.

    `data` are absolute paths of folders and addresses of object stores.
    """
    nodes = _nodes() if data else []
    return _with_problems(nodes, _answers(nodes, _list_data, lambda node: (data,)))


def credentials(*paths: str) -> dict[str, str]:
    """The environment variables with which workers reach `paths`: none for folders."""
    if not any(is_address(path) for path in paths):
        return {}
    names = ("GOOGLE_APPLICATION_CREDENTIALS",)
    return {key: value for key, value in os.environ.items() if key.startswith("AWS_") or key in names}


Node = Mapping[str, Any]


def _nodes() -> list[Node]:
    """The live nodes; none where this process's node is the only one."""
    import ray

    nodes: list[Node] = [node for node in ray.nodes() if node["Alive"]]
    is_alone = len(nodes) == 1 and nodes[0]["NodeID"] == ray.get_runtime_context().get_node_id()
    return [] if is_alone else nodes


def _answers(
    nodes: Sequence[Node], function: Callable[..., str], arguments: Callable[[Node], tuple[Any, ...]]
) -> dict[str, str]:
    """The value of `function(*arguments(node))` on each node, by the node's ID, or why there is none."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote = ray.remote(num_cpus=0, max_retries=0)(function)
    tasks = {}
    for node in nodes:
        pinned = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        tasks[node["NodeID"]] = remote.options(scheduling_strategy=pinned).remote(*arguments(node))
    ready, _ = ray.wait(list(tasks.values()), num_returns=len(tasks), timeout=PATIENCE) if tasks else ([], [])
    timeout = f"no answer in {PATIENCE:.0f} s"
    return {node: _result(task) if task in ready else timeout for node, task in tasks.items()}


def _read_and_reply(results: str, marker: str, reply: str) -> str:
    """On a node: write the file `reply` and give the marker's content; or give the problem."""
    try:
        files = files_at(results)
        content = files.read(marker).decode()
        files.write(reply, b"")
    except FileNotFoundError:
        return "it has no such folder, or another one"
    except Exception as error:
        return str(error)
    return content


def _list_data(data: Sequence[str]) -> str:
    """On a node: the problem with the data, empty where there is none."""
    try:
        for path in data:
            datasets.locate(path, cache_folder()).entries()
    except Exception as error:
        return str(error)
    return ""


def _has_file(files: Files, name: str) -> bool:
    """Whether there is such a file. It is read, because a network folder's list of names may be old."""
    try:
        files.read(name)
    except FileNotFoundError:
        return False
    return True


def _result(task: object) -> str:
    import ray

    try:
        return str(ray.get(task))
    except ray.exceptions.RayError as error:
        return last_line_of(str(error)) or type(error).__name__


def _with_problems(nodes: Sequence[Node], problems: Mapping[str, str]) -> list[str]:
    """The names of the nodes that have one of the `problems`, by their ID, each with it."""
    return [
        f"{node['NodeManagerHostname']} at {node['NodeManagerAddress']} ({problems[node['NodeID']]})"
        for node in nodes
        if problems[node["NodeID"]]
    ]
