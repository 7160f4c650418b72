"""The folder of a data set's files, or its address in an object store, from which each node fetches them."""

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from experiments import object_store
from experiments.datasets.cache_files import FULL, locked
from experiments.datasets.source import Progress
from experiments.files import replacing, sha256
from experiments.object_store import FIRST_LOOK, PATIENT, Address, AddressError, RetryLimits, connected
from experiments.settings import InputError

if TYPE_CHECKING:
    from obstore import ObjectMeta

    from experiments.object_store import ObjectStore

THREADS = 16
"""Requests at once: an object store answers each one slowly, but many at the same time."""
FOREIGN = "__MACOSX"


class Unreached(InputError):
    """An object store gave no answer, or refused access; another attempt may succeed."""


class Location(Protocol):
    """A folder of files: `str` gives its path or address, and `location / name` is a folder inside it."""

    @property
    def folder(self) -> Path:
        """The folder on this node that has its files, after `fetch`."""
        ...

    def entries(self) -> tuple[list[str], list[str]]:
        """The sorted names of the files and folders directly in it, without hidden ones and those of macOS.

        Raises InputError.
        """
        ...

    def fetch(self, names: Sequence[str], progress: Progress | None = None) -> None:
        """Download the files that `folder` does not have, or has in another version.

        `progress(done, total)` counts the downloads. Raises InputError.
        """
        ...

    def __truediv__(self, name: str) -> "Location": ...


def locate(path: str, cache: Path) -> Location:
    """The folder or address `path`. Raises InputError where it does not exist, or is no folder."""
    if object_store.is_address(path):
        return _bucket(object_store.parse("data.path", path), cache)
    folder = Path(path)
    try:
        is_folder, exists = folder.is_dir(), folder.exists()
    except OSError as error:  # a name that is too long, a link that leads to itself
        raise InputError(f"data.path: cannot read {path}: {error.strerror}") from None
    if is_folder:
        return Local(folder)
    if exists:
        raise InputError(f"data.path: {folder} is a file, expected a folder; unpack it if it is an archive")
    raise InputError(f"data.path: no such folder: {folder} (looked for {folder.absolute()})")


@dataclass(frozen=True)
class Local:
    """A folder that this node sees."""

    folder: Path

    def entries(self) -> tuple[list[str], list[str]]:
        """Files and folders directly in it."""
        files: list[str] = []
        folders: list[str] = []
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if not _hidden(entry.name):
                        (folders if _is_folder(entry) else files).append(entry.name)
        except OSError as error:
            raise InputError(f"data.path: cannot read {self}: {error.strerror}") from None
        return sorted(files), sorted(folders)

    def fetch(self, names: Sequence[str], progress: Progress | None = None) -> None:
        """Do nothing: the files are on this node."""

    def __truediv__(self, name: str) -> "Local":
        """The folder `name` in it."""
        return Local(self.folder / name)

    def __str__(self) -> str:
        """Its path."""
        return str(self.folder)


Mark = tuple[int, int]
"""The size in bytes and the time of change in nanoseconds: they identify a version of an object."""


@dataclass(frozen=True)
class _Listing:
    """All files below an address, and all folders, by the path of the folder that has them."""

    files: dict[str, dict[str, Mark]] = field(default_factory=dict)
    folders: dict[str, set[str]] = field(default_factory=dict)

    def add(self, path: str, mark: Mark | None) -> None:
        """Add the file or, without a `mark`, the folder at `path`, which is relative to the address."""
        if mark is not None:
            path, _, name = path.rpartition("/")
            self.files.setdefault(path, {})[name] = mark
        while path:
            path, _, name = path.rpartition("/")
            self.folders.setdefault(path, set()).add(name)


@dataclass(frozen=True, eq=False, kw_only=True)
class Bucket:
    """The `subfolder` of an `address`, and the local `folder` for the files that this node has fetched.

    An object is unchanged while its size and its time are; S3 gives the time to a second.
    """

    address: Address
    listing: _Listing
    folder: Path
    subfolder: str = ""
    limits: RetryLimits = PATIENT
    threads: int = THREADS

    def entries(self) -> tuple[list[str], list[str]]:
        """Files and folders directly in it."""
        files, folders = self.listing.files.get(self.subfolder, {}), self.listing.folders.get(self.subfolder, ())
        return sorted(n for n in files if not _hidden(n)), sorted(n for n in folders if not _hidden(n))

    def fetch(self, names: Sequence[str], progress: Progress | None = None) -> None:
        """Download files to `folder`; of several processes at once, one downloads and the others wait."""
        if not self._stale(names):
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / ".lock"):
                self._download(self._stale(names), progress)
        except OSError as error:
            if error.errno in FULL:
                raise self._no_room(names) from None
            raise InputError(f"data: cannot keep files of {self} in {self.folder}: {error}") from None

    def _stale(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if _mark(self.folder / name) != self._listed_mark(name)]

    def _listed_mark(self, name: str) -> Mark:
        parent, _, file_name = f"{self.subfolder}/{name}".strip("/").rpartition("/")
        return self.listing.files[parent][file_name]

    def _download(self, stale: Sequence[str], progress: Progress | None) -> None:
        for parent in {(self.folder / name).parent for name in stale}:
            parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self.folder).free < self._bytes(stale):
            raise self._no_room(stale)
        with _answering():
            store = connected(self.address, self.limits)
        pool = ThreadPoolExecutor(self.threads)
        try:
            for count, _ in enumerate(pool.map(lambda name: self._download_one(store, name), stale), 1):
                if progress is not None:
                    progress(count, len(stale))
        finally:
            pool.shutdown(cancel_futures=True)

    def _download_one(self, store: "ObjectStore", name: str) -> None:
        import obstore

        size, changed = self._listed_mark(name)
        try:
            with _answering(), object_store.explained(f"{self}/{name}", "read"):
                source = "/".join(filter(None, (self.address.prefix, self.subfolder, name)))
                content = obstore.get(store, source).bytes().to_bytes()
        except FileNotFoundError:
            content = b""
        if len(content) != size:
            raise Unreached(f"data.path: {self}/{name} changed while it was fetched; run the same command again")
        path = self.folder / name
        # Synced: after a power cut an empty file could have the right size and time.
        with replacing(path, path.with_name(f".{path.name}.part")) as file:
            file.write(content)
            file.flush()
            os.utime(file.fileno(), ns=(changed, changed))

    def _bytes(self, names: Sequence[str]) -> int:
        return sum(self._listed_mark(name)[0] for name in names)

    def _no_room(self, names: Sequence[str]) -> InputError:
        free = shutil.disk_usage(self.folder).free
        return InputError(
            f"data: fetching {len(names)} files of {self} needs {self._bytes(names) / 1e6:,.1f} MB in "
            f"{self.folder}, where {free / 1e6:,.1f} MB are free; free some, set a smaller limit, or set "
            "SWEEP_CACHE to a folder on a larger disk"
        )

    def __truediv__(self, name: str) -> "Bucket":
        """The folder `name` in it."""
        return replace(self, folder=self.folder / name, subfolder=f"{self.subfolder}/{name}".strip("/"))

    def __str__(self) -> str:
        """Its address, without options."""
        return "/".join(filter(None, (str(self.address), self.subfolder)))


def _bucket(address: Address, cache: Path) -> Bucket:
    """All objects below `address`. Raises InputError where there are none, Unreached without an answer."""
    import obstore

    listing = _Listing()
    with _answering(), object_store.explained(str(address), "listed"):
        store = connected(address, FIRST_LOOK)
        objects = obstore.list(store, address.prefix or None).collect()
        folders = _empty_folders(store, objects)
    for item in objects:
        path = item["path"].removeprefix(address.prefix).strip("/")
        mark = (item["size"], object_store.nanoseconds(item["last_modified"]))
        listing.add(path, mark if path and item["path"] not in folders else None)
    if not listing.files and not listing.folders:
        raise InputError(f"data.path: nothing lies at {address}; correct it, or put images there")
    key = sha256(address.text.encode())[:24]
    return Bucket(address=address, listing=listing, folder=cache / "fetched" / key)


def _empty_folders(store: "ObjectStore", objects: "Sequence[ObjectMeta]") -> set[str]:
    """The paths of the empty objects `folder/` that some tools make: obstore names them like a file `folder`."""
    import obstore

    empty = {item["path"] for item in objects if not item["size"]}
    parents = {path.rpartition("/")[0] for path in empty}
    prefixes = (obstore.list_with_delimiter(store, parent or None)["common_prefixes"] for parent in parents)
    return empty.intersection(chain.from_iterable(prefixes))


@contextmanager
def _answering() -> Iterator[None]:
    """Raise Unreached for an AddressError."""
    try:
        yield
    except AddressError as error:
        raise Unreached(f"data.path: {error}") from None


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself: reading it names it
        return False


def _mark(file: Path) -> Mark | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == FOREIGN
