"""Whether all nodes of a Ray cluster see the same results and the data.

For the results a marker tells, which each node has to read and to answer; the data each node looks at.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from experiments import datasets
from experiments.environment import cache_folder
from experiments.object_store import is_address
from experiments.settings import InputError
from orchestrator.storage.filesystem import Files
from orchestrator.storage.object_store import files_at

PATIENCE = 60.0
"""Seconds that a node has to start a process and to look."""


def require(results: str, data: Sequence[str]) -> None:
    """Raise InputError that names the nodes of the connected cluster which do not see `results`, or the `data`."""
    unseen = unseen_by(results)
    if unseen:
        raise InputError(message(results, unseen))
    unread = without(data)
    if unread:
        raise InputError(f"data.path: not seen by {'; '.join(unread)}; {DATA_MEND}")


DATA_MEND = "put the data under the same path on every node, or give the address of a bucket: s3://bucket/prefix"


def message(results: str, nodes: Sequence[str]) -> str:
    """What is wrong where `nodes` do not see `results`, and what to do."""
    mend = "give these nodes the same credentials and endpoint, and a way to it"
    if not is_address(results):
        mend = "mount one folder on all nodes under this path, or give --results s3://bucket/prefix"
    return f"--results {results}: not seen by {'; '.join(nodes)}; {mend}"


def unseen_by(results: str) -> list[str]:
    """The alive nodes of the connected Ray cluster that do not see and write `results`, each with the reason.

    `results` is a folder's absolute path or an object store's address; nothing of the look stays in it. Raises
    StoreError or InputError where it cannot be written from here.
    """
    nodes = _nodes()
    if not nodes:
        return []
    made = not is_address(results) and not os.path.exists(results)
    files, mark = files_at(results), uuid4().hex
    marker = f"shared-{mark}"
    own = {node["NodeID"]: f"{marker}-{node['NodeID']}" for node in nodes}
    files.write(marker, mark.encode())
    try:
        found = _asked(nodes, _look, lambda node: (results, marker, own[node["NodeID"]]))
        for node, said in found.items():
            if said == mark:
                found[node] = "" if _there(files, own[node]) else "what it writes there is not seen from here"
        return _named(nodes, found)
    finally:
        for name in (marker, *own.values()):
            files.delete(name)
        if made:
            os.rmdir(results)


def without(data: Sequence[str]) -> list[str]:
    """The alive nodes of the connected Ray cluster that do not see the `data`, each with the reason.

    `data` are absolute paths of folders and addresses of object stores.
    """
    nodes = _nodes() if data else []
    return _named(nodes, _asked(nodes, _look_at_data, lambda node: (data,)))


def credentials(*places: str) -> dict[str, str]:
    """The environment variables that workers need in order to reach `places`: none for folders."""
    if not any(is_address(place) for place in places):
        return {}
    named = ("GOOGLE_APPLICATION_CREDENTIALS",)
    return {key: value for key, value in os.environ.items() if key.startswith("AWS_") or key in named}


Node = Mapping[str, Any]


def _nodes() -> list[Node]:
    """The nodes that have to be asked: all that are alive, none where this process's is the only one."""
    import ray

    nodes: list[Node] = [node for node in ray.nodes() if node["Alive"]]
    alone = len(nodes) == 1 and nodes[0]["NodeID"] == ray.get_runtime_context().get_node_id()
    return [] if alone else nodes


def _asked(
    nodes: Sequence[Node], question: Callable[..., str], arguments: Callable[[Node], tuple[Any, ...]]
) -> dict[str, str]:
    """What each node answers, by its ID, or why it does not."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(question)
    answers = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        answers[node["NodeID"]] = task.options(scheduling_strategy=there).remote(*arguments(node))
    done, _ = ray.wait(list(answers.values()), num_returns=len(answers), timeout=PATIENCE) if answers else ([], [])
    late = f"no answer in {PATIENCE:.0f} s"
    return {node: _said(answer) if answer in done else late for node, answer in answers.items()}


def _look(results: str, marker: str, own: str) -> str:
    """On a node: what the marker holds, once a file of one's own has been written beside it; or what is wrong."""
    try:
        files = files_at(results)
        content = files.read(marker).decode()
        files.write(own, b"")
    except FileNotFoundError:
        return "it has no such folder, or another one"
    except Exception as error:
        return str(error)
    return content


def _look_at_data(data: Sequence[str]) -> str:
    """On a node: what is wrong with the data there, or nothing."""
    try:
        for path in data:
            datasets.origin(path, cache_folder()).look()
    except Exception as error:
        return str(error)
    return ""


def _there(files: Files, name: str) -> bool:
    """Whether there is such a file. It is opened, for a network folder's list of names may be an old one."""
    try:
        files.read(name)
    except FileNotFoundError:
        return False
    return True


def _said(task: object) -> str:
    import ray

    try:
        return str(ray.get(task))
    except ray.exceptions.RayError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return lines[-1].strip() if lines else type(error).__name__


def _named(nodes: Sequence[Node], wrong: Mapping[str, str]) -> list[str]:
    """The nodes with which something is `wrong`, by their ID, as people know them."""
    return [
        f"{node['NodeManagerHostname']} at {node['NodeManagerAddress']} ({wrong[node['NodeID']]})"
        for node in nodes
        if wrong[node["NodeID"]]
    ]
