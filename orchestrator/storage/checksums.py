"""Sealed content: a history as Parquet, a note as JSON, each with the sha256 of its own bytes inside.

Parquet checks its pages but not its footer, and one flipped bit in 4,656 was read as another number; JSON checks
nothing. The seal is a value in the file like any other, so the files stay plain Parquet and plain JSON.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_MARK = b"sealed-sha256:"
_BLANK = _MARK + b"0" * 64
_SEAL = re.compile(_MARK + rb"[0-9a-f]{64}")
KEY = "seal"


def seal(content: bytes) -> bytes:
    """`content` with its digest in the place of its last blank, which must be there."""
    position = content.rindex(_BLANK)
    return (
        content[:position]
        + _MARK
        + hashlib.sha256(content).hexdigest().encode()
        + content[position + len(_BLANK) :]
    )


def intact(content: bytes) -> bool:
    """Whether `content` is, to the bit, what `seal` gave."""
    for seal in _SEAL.finditer(content):
        digest = hashlib.sha256(content[: seal.start()])
        digest.update(_BLANK)
        digest.update(content[seal.end() :])
        if seal.group() == _MARK + digest.hexdigest().encode():
            return True
    return False


def table_bytes(table: pa.Table) -> bytes:
    """`table` as sealed Parquet with a checksum in every page; readable by anything that reads Parquet."""
    sink = pa.BufferOutputStream()
    options = {"compression": "zstd", "write_page_checksum": True, "write_statistics": False}
    with pq.ParquetWriter(sink, table.schema, **options) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({KEY: _BLANK.decode()})
    return seal(sink.getvalue().to_pybytes())


def read_table(content: bytes) -> pa.Table:
    """The table that `table_bytes` was given. Raises ValueError for other content."""
    if not intact(content):
        raise ValueError("its sha256 is not the one written into it")
    table = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
    return table.replace_schema_metadata(None)


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """`value` as a sealed JSON object; what JSON has no type for becomes text."""
    text = json.dumps({**dict(sorted(value.items())), KEY: _BLANK.decode()}, indent=1, default=str)
    return seal(f"{text}\n".encode())


def read_json(content: bytes) -> dict[str, Any]:
    """The object that `json_bytes` was given. Raises ValueError for any other content."""
    if not intact(content):
        raise ValueError("its sha256 is not the one written into it")
    value = json.loads(content)
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return {key: field for key, field in value.items() if key != KEY}
