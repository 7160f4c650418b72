"""Private names of Ray's stand in one module, so that a new version of Ray is checked against one list."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cluster import ray_internals
from tests.support.command import ROOT

MODULES = sorted(
    path
    for package in ("orchestrator", "experiments")
    for path in (ROOT / package).rglob("*.py")
    if path != Path(ray_internals.__file__)
)
PRIVATE_TEXT = re.compile(r"\bray(\.\w+)*\._(?!_)|\bray\.core\b|\bRAY_[a-z]")
"""In strings, which may be programs or environment variables: Ray documents none with small letters."""


def private_names(source: str) -> Iterator[str]:
    """Every private name of Ray's that the program `source` uses."""
    tree = ast.parse(source)
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            names = {alias.asname or alias.name: f"{module}.{alias.name}".strip(".") for alias in node.names}
            imported |= {name: path for name, path in names.items() if f"{path}.".startswith("ray.")}
    for path in imported.values():
        if "._" in path or path.startswith("ray.core"):
            yield path
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and PRIVATE_TEXT.search(node.value):
            yield node.value
        if isinstance(node, ast.Attribute):
            chain = ast.unparse(node)
            if PRIVATE_TEXT.search(imported.get(chain.partition(".")[0], "") + "." + chain.partition(".")[2]):
                yield chain
        if isinstance(node, ast.Call):
            yield from (word.arg for word in node.keywords if word.arg and word.arg.startswith("_"))
        if isinstance(node, ast.ClassDef):
            yield from _overridden(node, imported)


def _overridden(node: ast.ClassDef, imported: dict[str, str]) -> Iterator[str]:
    """The private methods of one of Ray's classes that the class replaces."""
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in imported:
            module, _, name = imported[base.id].rpartition(".")
            theirs = getattr(importlib.import_module(module), name)
            for method in (m.name for m in node.body if isinstance(m, ast.FunctionDef)):
                if method.startswith("_") and not method.startswith("__") and hasattr(theirs, method):
                    yield f"{base.id}.{method}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_other_modules_use_no_private_name_of_ray(path: Path) -> None:
    assert list(private_names(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "import ray._private.worker",
        "from ray._private import services",
        "from ray import _raylet",
        "from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply",
        "import ray\nray._private.worker.global_worker",
        "import ray as r\nr.util._private",
        "from ray.job_config import JobConfig\nJobConfig(_py_driver_sys_path=[])",
        "from ray.job_config import JobConfig as J\nclass K(J):\n def _runtime_env_has_working_dir(self): ...",
        "PROGRAM = 'import sys\\nfrom ray._raylet import GcsClient'",
        "ENVIRONMENT = {'RAY_grpc_client_keepalive_time_ms': '1'}",
    ],
)
def test_a_private_name_is_noticed(source: str) -> None:
    assert list(private_names(source))


def test_public_names_are_allowed() -> None:
    source = "import ray\nfrom ray.tune import Trainable\nray.nodes()\nMODE = 'RAY_AUTH_MODE'"
    assert list(private_names(f"{source}\nclass T(Trainable):\n def _mine(self): ...")) == []
