"""Files that are whole or absent: atomic, synced writes and plain reads below one folder.

`LocalFiles` writes a sibling temporary, syncs it and renames it, so that a crash or a full disk leaves either the
old file or the new one, never a part of one.
"""

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from experiments.files import atomic_write, sync_folder
from experiments.settings import InputError

TEMPORARY = ".tmp-"
UNSETTLED = 2_000_000_000
"""Nanoseconds in which a file may be written twice and show the same time: some file systems count in seconds."""
LONGEST_PATH = 3500
"""Bytes in the path of a folder; what lies below it has longer ones, and systems end at 4,096."""


class StoreError(Exception):
    """The store cannot be used as asked: full, not writable. The message says what to do."""

    exit_code = 1


class HeldError(StoreError):
    """Another process runs the sweep. The message says which."""

    exit_code = 2


class DamagedError(StoreError):
    """A file of the store is not what was written there. The message names it and says what to do."""

    exit_code = 3


class Files(Protocol):
    """What the store needs of a file system. Names are relative, with forward slashes.

    All methods raise StoreError where the file system cannot be reached.
    """

    threads: int
    """How many reads at once pay off."""

    @property
    def address(self) -> str:
        """What names the same files in other processes, also on other machines that see them."""

    def probe(self) -> None:
        """Find out now whether the first write will fail for a reason that holds for all. Raises InputError."""

    def read(self, name: str) -> bytes:
        """The content of `name`. Raises FileNotFoundError."""

    def write(self, name: str, content: bytes) -> None:
        """`name` now holds `content`, whole; on any error it still holds what it held. Raises StoreError."""

    def delete(self, name: str) -> None:
        """`name` is gone, whether or not it was there."""

    def move(self, name: str, to: str) -> None:
        """`name` is now called `to`. Raises FileNotFoundError."""

    def names(self, folder: str, suffix: str = "") -> list[str]:
        """The sorted names of the files right below `folder` that end in `suffix`; none if it is not there."""

    def versions(self, folder: str) -> dict[str, str]:
        """The version of each file right below `folder`, by name; nothing if the folder is not there."""

    def version(self, name: str) -> str:
        """A text that another write of `name` changes: equal versions mean equal content.

        Empty where the file does not exist, and where the file system cannot tell two writes apart yet.
        """

    def folders(self) -> list[str]:
        """The sorted names of the folders at the top."""

    def size(self, name: str) -> int:
        """Bytes in `name`; 0 if it is not there."""

    def modified(self, name: str) -> int:
        """When `name` was last changed, in nanoseconds; 0 if it is not there."""

    def temporaries(self) -> list[str]:
        """The names of files whose writing was cut off."""

    def __str__(self) -> str:
        """The address as a person would write it."""


class LocalFiles:
    """Files below a local folder, or one that all nodes mount."""

    threads = 4

    def __init__(self, root: Path) -> None:
        """Files below `root`, which is made when the first file is written."""
        self.root = root

    def __str__(self) -> str:
        """The folder."""
        return str(self.root)

    @property
    def address(self) -> str:
        """The folder's absolute path."""
        return os.path.abspath(self.root)

    def look(self) -> None:
        """Find out whether this can be a results folder. Raises InputError for a file, a loop of links, …"""
        try:
            with os.scandir(self.root):
                reason = ""
        except FileNotFoundError:
            reason = self._unmade()
        except (OSError, ValueError) as error:
            reason = _reason(error)
        if len(os.fsencode(self.address)) > LONGEST_PATH:
            reason = f"its path has more than {LONGEST_PATH} bytes"
        if reason:
            raise InputError(f"--results {self.root}: expected a folder that can be read ({reason}); give another")

    def _unmade(self) -> str:
        """Why the folder, which is not there, cannot be made; empty where it can."""
        absolute = self.root.absolute()
        for folder in (absolute, *absolute.parents):
            if folder.is_symlink() and not folder.exists():
                return f"{folder} is a link to what is not there"
            if folder.exists():
                break
        return ""

    def probe(self) -> None:
        """Raise InputError where nothing can be written here."""
        folder = self.root.absolute()
        while not folder.exists():
            folder = folder.parent
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(
                f"--results {self.root}: {folder} cannot be written by this user; give another folder"
            )

    def path(self, name: str) -> Path:
        """Where `name` lies."""
        return self.root / name

    def read(self, name: str) -> bytes:
        """The content of `name`. Raises FileNotFoundError and StoreError."""
        with self._explained(name, "read"):
            return self.path(name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """`name` now holds `content`, whole; on any error it still holds what it held. Raises StoreError."""
        path = self.path(name)
        temporary = path.with_name(f"{TEMPORARY}{uuid.uuid4().hex}")
        try:
            self._make_folder(path.parent)
            atomic_write(path, content, temporary)
            sync_folder(path.parent)
        except OSError as error:
            raise StoreError(
                f"{path}: cannot be written ({_reason(error)}, {len(content):,} bytes); "
                "make room or give another --results, then run the same command again: nothing finished is lost"
            ) from error

    def delete(self, name: str) -> None:
        """`name` is gone, whether or not it was there. Raises StoreError."""
        with self._explained(name, "deleted"):
            self.path(name).unlink(missing_ok=True)

    def move(self, name: str, to: str) -> None:
        """`name` is now called `to`. Raises FileNotFoundError and StoreError."""
        target = self.path(to)
        with self._explained(name, "moved"):
            self._make_folder(target.parent)
            os.replace(self.path(name), target)
            sync_folder(target.parent)

    def names(self, folder: str, suffix: str = "") -> list[str]:
        """The sorted names of the files right below `folder` that end in `suffix`; none if it is not there."""
        return sorted(entry.name for entry in self._entries(folder) if entry.name.endswith(suffix))

    def versions(self, folder: str) -> dict[str, str]:
        """The version of each file right below `folder`, by name."""
        return {entry.name: self.version(f"{folder}/{entry.name}") for entry in self._entries(folder)}

    def version(self, name: str) -> str:
        """The file's inode, size and times; empty for a file of the last two seconds and for none.

        The file is opened: only then does a network file system ask its server for the size and the times.
        """
        now = time.time_ns()
        try:
            descriptor = os.open(self.path(name), os.O_RDONLY)
        except OSError:
            return ""
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if now - status.st_mtime_ns < UNSETTLED:
            return ""
        return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"

    def folders(self) -> list[str]:
        """The sorted names of the folders at the top."""
        with (
            contextlib.suppress(FileNotFoundError),
            self._explained("", "listed"),
            os.scandir(self.root) as entries,
        ):
            return sorted(entry.name for entry in entries if entry.is_dir())
        return []

    def size(self, name: str) -> int:
        """Bytes in `name`; 0 if it is not there."""
        with contextlib.suppress(FileNotFoundError), self._explained(name, "looked at"):
            return self.path(name).stat().st_size
        return 0

    def modified(self, name: str) -> int:
        """When `name` was last changed, in nanoseconds; 0 if it is not there."""
        with contextlib.suppress(FileNotFoundError), self._explained(name, "looked at"):
            return self.path(name).stat().st_mtime_ns
        return 0

    def temporaries(self) -> list[str]:
        """The names of files whose writing was cut off."""
        return sorted(str(p.relative_to(self.root)) for p in self.root.rglob(f"{TEMPORARY}*") if p.is_file())

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        """The files right below `folder`; none if it is not there."""
        path = self.path(folder)
        with (
            contextlib.suppress(FileNotFoundError),
            self._explained(folder, "listed"),
            os.scandir(path) as entries,
        ):
            return [entry for entry in entries if entry.is_file() and not entry.name.startswith(TEMPORARY)]
        return []

    @contextlib.contextmanager
    def _explained(self, name: str, done: str) -> Iterator[None]:
        """Raise FileNotFoundError for what is not there, StoreError for all else that goes wrong."""
        try:
            yield
        except FileNotFoundError:
            raise
        except NotADirectoryError as error:
            raise FileNotFoundError(str(error)) from error
        except OSError as error:
            raise StoreError(f"{self.path(name)}: cannot be {done} ({_reason(error)})") from error

    def _make_folder(self, folder: Path) -> None:
        """Make it with its parents and sync each entry: a file in a folder that is lost is lost."""
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
