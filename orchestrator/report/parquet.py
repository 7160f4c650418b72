"""The tables of the comparison as Parquet, labels and units in the metadata, with page checksums."""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.analysis.comparison import Comparison


def files(comparison: Comparison) -> dict[str, bytes]:
    """Every table in a file of its own, by file name. Types are plain Arrow types; unknown is null."""
    return {f"{name}.parquet": _written(table) for name, table in comparison.tables.items()}


def _written(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()
