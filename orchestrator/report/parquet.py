"""The tables of the comparison as Parquet, labels and units in the metadata, with page checksums."""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.analysis.comparison import Comparison


def files(comparison: Comparison) -> dict[str, bytes]:
    """Every table as one file, by file name. Types are plain Arrow types; null is a value that is not known."""
    return {f"{name}.parquet": _parquet(table) for name, table in comparison.tables.items()}


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()
