"""Files that are written whole or not at all, and the hashes that tell whether they are intact."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path, temporary: Path, synced: bool = True) -> Iterator[IO[bytes]]:
    """A file to write within the block, at whose end it replaces `path`; on any error `path` stays as it was.

    It is first written as `temporary`, in the same folder. Where it is `synced` a power cut leaves the old file or
    the new one; `sync_folder` makes the new one last.
    """
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            if synced:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def atomic_write(path: Path, content: bytes, temporary: Path, synced: bool = True) -> None:
    """Let `path` hold `content`, as `replacing` does."""
    with replacing(path, temporary, synced) as file:
        file.write(content)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(content: bytes) -> str:
    """The sha256 of `content`, in hex.

    >>> sha256(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(content).hexdigest()
