"""Sealed content: what was written is read back, and nothing else is."""

import io
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestrator import records, sealed
from tests.test_store import row


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_table_is_read_back_and_is_plain_parquet_to_others() -> None:
    table = records.table([row("a", epoch) for epoch in range(3)])
    content = sealed.table_bytes(table)
    back = sealed.read_table(content, records.HISTORY)
    assert back.equals(table)
    assert back.schema.equals(records.HISTORY, check_metadata=True)
    assert pq.read_table(io.BytesIO(content)).num_rows == 3
    assert content == sealed.table_bytes(table)


def test_another_schema_is_refused() -> None:
    content = sealed.table_bytes(records.table([row("a", 0)]).drop_columns(["loss"]))
    with pytest.raises(ValueError, match="its columns are not those expected"):
        sealed.read_table(content, records.HISTORY)


@pytest.mark.parametrize(
    "value",
    [{}, {"reason": "no luck"}, {"z": "sealed-sha256:" + "0" * 64, "a": "sealed-sha256:" + "1" * 64}, {"é": 0.1}],
)
def test_an_object_is_read_back_whatever_it_says(value: dict[str, Any]) -> None:
    assert sealed.read_json(sealed.json_bytes(value)) == value


def test_not_one_bit_of_a_table_can_flip_unnoticed() -> None:
    content = sealed.table_bytes(records.table([row("adam-cosine-s0", epoch) for epoch in range(2)]))
    for bit in range(len(content) * 8):
        with pytest.raises(ValueError, match="sha256"):
            sealed.read_table(flipped(content, bit), records.HISTORY)
    for length in range(len(content)):
        with pytest.raises(ValueError, match="sha256"):
            sealed.read_table(content[:length], records.HISTORY)


def test_not_one_bit_of_an_object_can_flip_unnoticed() -> None:
    content = sealed.json_bytes({"reason": "sealed-sha256: is no seal", "val_loss": 0.25})
    for bit in range(len(content) * 8):
        with pytest.raises(ValueError, match="sha256"):
            sealed.read_json(flipped(content, bit))
