"""One module per output. Importing this imports none of them: rich and the drawing library come when asked
for.
"""

import importlib
from typing import Any

from experiments import settings
from orchestrator.analysis.comparison import Comparison

TEXTS = ("markdown", "csv", "json", "latex", "html")
FOLDERS = ("csv", "parquet", "svg", "png")
FORMATS = ("terminal", *dict.fromkeys((*TEXTS, *FOLDERS)))
_DRAWN = {"svg": "figures.catalogue", "png": "figures.catalogue"}


def _module(name: str, known: tuple[str, ...]) -> Any:
    if name not in known:
        raise settings.unknown(f"format.{name}", "format", name, known)
    return importlib.import_module(f"orchestrator.report.{_DRAWN.get(name, name)}")


def render(name: str, comparison: Comparison, **options: Any) -> str:
    """The comparison as one text in a format of `TEXTS`. Raises InputError for any other."""
    return str(_module(name, TEXTS).render(comparison, **options))


def files(name: str, comparison: Comparison) -> dict[str, bytes]:
    """The comparison as several files in a format of `FOLDERS`: contents by file name. Raises InputError."""
    module = _module(name, FOLDERS)
    found: dict[str, bytes] = module.files(comparison, name) if name in _DRAWN else module.files(comparison)
    return found
