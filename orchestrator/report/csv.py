"""Tables as CSV (RFC 4180, UTF-8): numbers in full, empty for not known, `inf` for never reached."""

import csv
import io
import math
from typing import Any

from experiments import settings
from orchestrator.analysis.comparison import Comparison


def render(comparison: Comparison, table: str = "ranking") -> str:
    """One table of the comparison. Raises InputError for a table that there is not."""
    if table not in comparison.tables:
        raise settings.unknown(f"table.{table}", "table", table, comparison.tables)
    chosen = comparison.tables[table]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(chosen.column_names)
    writer.writerows([_written(value) for value in row.values()] for row in chosen.to_pylist())
    return text.getvalue()


def files(comparison: Comparison) -> dict[str, bytes]:
    """Every table in a file of its own, by file name."""
    return {f"{name}.csv": render(comparison, name).encode() for name in comparison.tables}


def _written(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if isinstance(value, bool):
        return str(value).lower()
    return value
