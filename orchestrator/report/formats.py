"""The table of report formats. The first report in a format imports its module: rich and matplotlib are heavy.

A new format is one module beside this one and one row in `TABLE`. The module has a function that gives the
comparison as one text, or a function that gives it as files, or both. The command line, its help and the contract
tests read the table.
"""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from experiments import settings
from orchestrator.analysis.comparison import Comparison


class Format(NamedTuple):
    """Functions of a format as `module:function`, the module within `orchestrator.report`; "" for a missing one.

    text: (comparison, ...) -> str. files: (comparison) -> contents as bytes by file name.
    """

    text: str = ""
    files: str = ""


TABLE = {
    "terminal": Format(),  # printed by terminal.render, which needs a console
    "markdown": Format(text="markdown:render"),
    "csv": Format(text="csv:render", files="csv:files"),
    "json": Format(text="json:render"),
    "latex": Format(text="latex:render"),
    "html": Format(text="html:render"),
    "parquet": Format(files="parquet:files"),
    "svg": Format(files="figures.catalogue:svg_files"),
    "png": Format(files="figures.catalogue:png_files"),
}
FORMATS = tuple(TABLE)
TEXTS = tuple(name for name, row in TABLE.items() if row.text)
FOLDERS = tuple(name for name, row in TABLE.items() if row.files)


def render(name: str, comparison: Comparison, **options: Any) -> str:
    """The comparison as one text in a format of `TEXTS`. Raises InputError for any other."""
    if name not in TEXTS:
        raise settings.unknown(f"format.{name}", "format", name, TEXTS)
    return cast(str, _function(TABLE[name].text)(comparison, **options))


def files(name: str, comparison: Comparison) -> dict[str, bytes]:
    """The comparison as contents by file name in a format of `FOLDERS`. Raises InputError for any other."""
    if name not in FOLDERS:
        raise settings.unknown(f"format.{name}", "format", name, FOLDERS)
    return cast(dict[str, bytes], _function(TABLE[name].files)(comparison))


def _function(address: str) -> Callable[..., Any]:
    module, _, name = address.partition(":")
    return cast(Callable[..., Any], getattr(importlib.import_module(f"orchestrator.report.{module}"), name))
