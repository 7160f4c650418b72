"""Whether all nodes of a Ray cluster see one results folder, found out by a marker that each has to read."""

import os
from collections.abc import Sequence
from uuid import uuid4

from experiments.checks import InputError
from orchestrator.files import Files
from orchestrator.objects import files_at, is_address

PATIENCE = 60.0
"""Seconds that a node has to start a process and to look."""


def require(results: str) -> None:
    """Raise InputError that names the nodes of the connected cluster which do not see `results`."""
    unseen = unseen_by(results)
    if unseen:
        raise InputError(message(results, unseen))


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
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"]]
    if len(nodes) == 1 and nodes[0]["NodeID"] == ray.get_runtime_context().get_node_id():
        return []
    made = not is_address(results) and not os.path.exists(results)
    files, mark = files_at(results), uuid4().hex
    marker = f"shared-{mark}"
    files.write(marker, mark.encode())
    look = ray.remote(num_cpus=0, max_retries=0)(_look)
    answers = {}
    try:
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            own = f"{marker}-{node['NodeID']}"
            answers[look.options(scheduling_strategy=there).remote(results, marker, own)] = (node, own)
        done, _ = ray.wait(list(answers), num_returns=len(answers), timeout=PATIENCE)
        found = {task: _said(task) if task in done else f"no answer in {PATIENCE:.0f} s" for task in answers}
        for task, (_, own) in answers.items():
            if found[task] == mark:
                found[task] = "" if _there(files, own) else "what it writes there is not seen from here"
        return [f"{_named(node)} ({found[task]})" for task, (node, _) in answers.items() if found[task]]
    finally:
        for name in (marker, *(own for _, own in answers.values())):
            files.delete(name)
        if made:
            os.rmdir(results)


def credentials(results: str) -> dict[str, str]:
    """The environment variables that workers need in order to reach `results`: none for a folder."""
    if not is_address(results):
        return {}
    named = ("GOOGLE_APPLICATION_CREDENTIALS",)
    return {key: value for key, value in os.environ.items() if key.startswith("AWS_") or key in named}


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


def _named(node: dict[str, str]) -> str:
    return f"{node['NodeManagerHostname']} at {node['NodeManagerAddress']}"
