"""Files on an object store through pyarrow's file systems.

There is no rename there and none is needed: an object appears whole when its upload is completed, or not at all.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from experiments import object_store
from experiments.object_store import LOOKS, TRIES, Address, AddressError, connected, is_address, parse
from experiments.settings import InputError
from orchestrator.storage.filesystem import UNSETTLED, Files, LocalFiles, StoreError

T = TypeVar("T")

SMALL = 4 << 20
"""Bytes up to which an object goes up in one request."""


def files_at(results: str) -> Files:
    """The files at a local path or at an object store's address.

    Raises InputError as `opened` does, and for a path that is no folder or cannot be read.
    """
    if is_address(results):
        return opened(results)
    files = LocalFiles(Path(results))
    files.look()
    return files


@cache
def opened(results: str) -> "ObjectFiles":
    """The files at an address: one object a process, for a connection costs more than a look.

    Raises InputError for a bad address, a bucket that is not there, denied access, and where nothing answers.
    """
    return ObjectFiles(parse("--results", results))


class ObjectFiles:
    """Files below an object store's address."""

    threads = 16

    def __init__(self, at: Address) -> None:
        """Files at `at`, which must be there and readable. Raises InputError."""
        self._at = at
        with self._in_time():
            self._refuse_absent(connected(at, LOOKS))
            self._system = connected(at, TRIES)
            self._for_large = connected(at, TRIES, in_one=False)

    def __str__(self) -> str:
        """The address, without its options."""
        return str(self._at)

    @property
    def address(self) -> str:
        """The address, for `opened`."""
        return self._at.text

    def probe(self) -> None:
        """Write, read and delete an object. Raises InputError where one of these cannot be done."""
        name, content = f"probe-{uuid4().hex}", os.urandom(16)
        with self._in_time():
            self._put(connected(self._at, LOOKS), name, content)
            if self.read(name) != content:
                raise StoreError(f"{self}/{name}: gives other bytes than were written; give another --results")
            self.delete(name)

    def read(self, name: str) -> bytes:
        """The content of `name`. Raises FileNotFoundError and StoreError."""
        with self._explained(name, "read"):
            try:
                return self._content(name)
            except FileNotFoundError:
                raise
            except OSError:  # it went or was replaced after a look at its size: there is another answer now
                return self._content(name)

    def write(self, name: str, content: bytes) -> None:
        """`name` now holds `content`, whole; on any error it still holds what it held. Raises StoreError."""
        self._put(self._system if len(content) <= SMALL else self._for_large, name, content)

    def delete(self, name: str) -> None:
        """`name` is gone, whether or not it was there. Raises StoreError."""
        try:
            with self._explained(name, "deleted"):
                self._system.delete_file(self._path(name))
        except FileNotFoundError:
            return

    def move(self, name: str, to: str) -> None:
        """`name` is now called `to`; cut off, it has both names. Raises FileNotFoundError and StoreError."""
        with self._explained(name, "moved"):
            self._system.copy_file(self._path(name), self._path(to))
        self.delete(name)

    def names(self, folder: str, suffix: str = "") -> list[str]:
        """The sorted names of the files right below `folder` that end in `suffix`; none if it is not there."""
        return sorted(name for name in self.times(folder) if name.endswith(suffix))

    def times(self, folder: str) -> dict[str, int]:
        """When each file right below `folder` was written, in nanoseconds of the object store's clock."""
        from pyarrow.fs import FileType

        return {i.base_name: i.mtime_ns or 0 for i in self._list(folder) if i.type == FileType.File}

    def versions(self, folder: str) -> dict[str, str]:
        """The version of each file right below `folder`, by name."""
        from pyarrow.fs import FileType

        now = time.time_ns()
        return {i.base_name: _version(i, now) for i in self._list(folder) if i.type == FileType.File}

    def version(self, name: str) -> str:
        """The file's size and time; empty for a file of the last two seconds and for none."""
        return _version(self._info(name), time.time_ns())

    def folders(self) -> list[str]:
        """The sorted names of the folders at the top."""
        from pyarrow.fs import FileType

        return sorted(i.base_name for i in self._list("") if i.type == FileType.Directory)

    def size(self, name: str) -> int:
        """Bytes in `name`; 0 if it is not there."""
        return self._info(name).size or 0

    def modified(self, name: str) -> int:
        """When `name` was last changed, in nanoseconds, exact to a second on S3; 0 if it is not there."""
        return self._info(name).mtime_ns or 0

    def temporaries(self) -> list[str]:
        """None: an upload that was cut off shows nothing."""
        return []

    def _content(self, name: str) -> bytes:
        with self._system.open_input_file(self._path(name)) as file:
            content: bytes = file.readall()
            return content

    def _path(self, name: str) -> str:
        return f"{self._at.path}/{name}" if name else self._at.path

    def _info(self, name: str) -> Any:
        with self._explained(name, "looked at"):
            return self._system.get_file_info(self._path(name))

    def _list(self, folder: str) -> list[Any]:
        from pyarrow.fs import FileSelector

        with self._explained(folder, "listed"):
            found: list[Any] = self._system.get_file_info(FileSelector(self._path(folder), allow_not_found=True))
            return found

    def _put(self, system: Any, name: str, content: bytes) -> None:
        def upload() -> None:
            stream = system.open_output_stream(self._path(name))
            stream.write(content)
            stream.close()

        with self._explained(name, "written", f", {len(content):,} bytes"):
            _uninterrupted(upload)

    def _refuse_absent(self, system: Any) -> None:
        """Raise unless there is a bucket that can be looked into."""
        from pyarrow.fs import FileType

        with self._explained("", "read"):
            there = system.get_file_info(self._path("format.json"))
        if there.type == FileType.NotFound:
            object_store.require_bucket(self._at, system)

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """What goes wrong before anything has been done is the address's fault."""
        try:
            yield
        except (StoreError, AddressError) as error:
            raise InputError(f"--results {error}") from None

    @contextmanager
    def _explained(self, name: str, done: str, size: str = "") -> Iterator[None]:
        """Raise FileNotFoundError for what is not there, StoreError with a mend for all else."""
        try:
            with object_store.explained(f"{self}/{name}" if name else str(self), done, size):
                yield
        except AddressError as error:
            raise StoreError(str(error)) from None


def _version(info: Any, now: int) -> str:
    settled = info.mtime_ns is not None and now - info.mtime_ns >= UNSETTLED
    return f"{info.size}-{info.mtime_ns}" if settled else ""


def _uninterrupted(function: Callable[[], T]) -> T:
    """`function`, in a thread: Ctrl-C in the middle would close the stream, which makes an object of one half."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()
