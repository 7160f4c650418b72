"""Tables as CSV (RFC 4180, UTF-8): all digits of a number, "" for null, `inf` for an infinite value."""

import csv
import io
import math
from typing import Any

from experiments import settings
from orchestrator.analysis.comparison import Comparison


def render(comparison: Comparison, table: str = "ranking") -> str:
    """One table of the comparison, by its name in `Comparison.tables`. Raises InputError for an unknown name."""
    if table not in comparison.tables:
        raise settings.unknown(f"table.{table}", "table", table, comparison.tables)
    arrow_table = comparison.tables[table]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(arrow_table.column_names)
    writer.writerows([_field(value) for value in row.values()] for row in arrow_table.to_pylist())
    return text.getvalue()


def files(comparison: Comparison) -> dict[str, bytes]:
    """Every table as one file, by file name."""
    return {f"{name}.csv": render(comparison, name).encode() for name in comparison.tables}


def _field(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if isinstance(value, bool):
        return str(value).lower()
    return value
