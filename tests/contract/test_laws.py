"""What must not be imported at once: the command line is quick because heavy libraries come when they are needed.

Which package may import which is held by import-linter.
"""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tests.support.command import ROOT

HEAVY = ("ray", "keras", "tensorflow", "jax")
MAY_START_RAY = {"trainable.py", "ray_tune.py"}


def modules(*places: str) -> list[Path]:
    """Every Python file of these folders and files."""
    found = [ROOT / place for place in places]
    return [p for f in found for p in (sorted(f.rglob("*.py")) if f.is_dir() else [f])]


def imports(path: Path, only_top: bool) -> set[str]:
    """The dotted names that a module imports, at its top level or anywhere."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if only_top else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def starts_with(names: set[str], packages: tuple[str, ...]) -> set[str]:
    return {name for name in names if name.split(".")[0] in packages}


@pytest.mark.parametrize("path", modules("orchestrator", "experiments"), ids=lambda p: p.name)
def test_nothing_but_the_workers_side_imports_a_heavy_library_at_once(path: Path) -> None:
    if path.name not in MAY_START_RAY:
        assert starts_with(imports(path, only_top=True), HEAVY) == set()


def test_importing_every_light_module_starts_nothing_heavy() -> None:
    names = [
        ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for p in modules("orchestrator", "experiments")
        if p.name not in (*MAY_START_RAY, "__main__.py")
    ]
    program = f"import importlib, sys\nfor n in {names!r}: importlib.import_module(n)\n"
    program += f"print(sorted(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Late imports count as well."""
    graph = grimp.build_graph("orchestrator", "experiments")
    TopologicalSorter({m: graph.find_modules_directly_imported_by(m) for m in graph.modules}).prepare()
