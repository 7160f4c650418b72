"""Reading regular files only: a pipe blocks its reader, and a device never ends."""

import errno
import os
import stat
from pathlib import Path

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read(path: str | Path) -> bytes:
    """The content of a regular file, also behind a link. Raises OSError, at once where it is something else."""
    with open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        require(os.fstat(file.fileno()))
        return file.read()


def require(status: os.stat_result) -> None:
    """Raise OSError unless `status` is that of a regular file."""
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "something else")
        raise OSError(errno.EINVAL, f"it is {kind}, expected a file")
