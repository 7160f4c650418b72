"""Files of the cache, which may be lost: sealed with a hash, replaced whole, locked while one process writes."""

import errno
import fcntl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from experiments.files import atomic_write, sha256

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The system's errors for a full disk."""


def read_sealed(path: Path) -> bytes | None:
    """The content that `write_sealed` kept under `path`; None where it is missing or damaged."""
    try:
        seal, _, content = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    return content if seal == sha256(content).encode() else None


def write_sealed(path: Path, content: bytes) -> None:
    """Keep `content` under `path` with its sha256, or not at all.

    Never fails: a cache that cannot be written costs time, not correctness. It is not synced either: after a crash
    the seal is wrong.
    """
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        atomic_write(path, sha256(content).encode() + b"\n" + content, temporary, synced=False)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for the file lock `path` and hold it; the system releases it when the process dies."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
