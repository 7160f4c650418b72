"""Sealed content: what was written is read back, and nothing else is."""

import io
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestrator.storage import checksums, history
from tests.support.rows import row


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_table_is_read_back_and_is_plain_parquet_to_others() -> None:
    table = history.table([row("a", epoch) for epoch in range(3)])
    content = checksums.table_bytes(table)
    back = checksums.read_table(content)
    assert back.equals(table)
    assert back.schema.equals(history.HISTORY, check_metadata=True)
    assert pq.read_table(io.BytesIO(content)).num_rows == 3
    assert content == checksums.table_bytes(table)


@pytest.mark.parametrize(
    "value",
    [{}, {"reason": "no luck"}, {"z": "sealed-sha256:" + "0" * 64, "a": "sealed-sha256:" + "1" * 64}, {"é": 0.1}],
)
def test_an_object_is_read_back_whatever_it_says(value: dict[str, Any]) -> None:
    assert checksums.read_json(checksums.json_bytes(value)) == value


def test_not_one_bit_of_a_table_can_flip_unnoticed() -> None:
    content = checksums.table_bytes(history.table([row("adam-cosine-s0", epoch) for epoch in range(2)]))
    for bit in range(len(content) * 8):
        with pytest.raises(ValueError, match="sha256"):
            checksums.read_table(flipped(content, bit))
    for length in range(len(content)):
        with pytest.raises(ValueError, match="sha256"):
            checksums.read_table(content[:length])


def test_not_one_bit_of_an_object_can_flip_unnoticed() -> None:
    content = checksums.json_bytes({"reason": "sealed-sha256: is no seal", "val_loss": 0.25})
    for bit in range(len(content) * 8):
        with pytest.raises(ValueError, match="sha256"):
            checksums.read_json(flipped(content, bit))
