"""Where a data set's files lie: in a folder, or at an object store's address, from where each node fetches."""

import hashlib
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
from experiments.object_store import FIRST_LOOK, PATIENT, Address, AddressError, RetryLimits, connected
from experiments.settings import InputError

if TYPE_CHECKING:
    from obstore import ObjectMeta

    from experiments.object_store import ObjectStore

THREADS = 16  # requests at once: an object store answers each of them after a while, but many of them together
FOREIGN = "__MACOSX"


class Unreached(InputError):
    """An object store gave no answer, or said no: what holds today need not hold tomorrow."""


class Location(Protocol):
    """A folder of files, written as a person would write it by `str`; `location / name` is one inside it."""

    @property
    def folder(self) -> Path:
        """Where on this node its files lie, once they have been fetched."""
        ...

    def entries(self) -> tuple[list[str], list[str]]:
        """Files and folders directly in it, by name, sorted; no hidden ones, none that macOS leaves.

        Raises InputError.
        """
        ...

    def fetch(self, names: Sequence[str], progress: Progress | None = None) -> None:
        """Bring files to `folder` that are not there yet, or are other ones now.

        `progress(done, total)` counts the files that have to be brought. Raises InputError.
        """
        ...

    def __truediv__(self, name: str) -> "Location": ...


def locate(path: str, cache: Path) -> Location:
    """What `path` names. Raises InputError where it is not there, or is no folder and no address of one."""
    if object_store.is_address(path):
        return _bucket(object_store.parse("data.path", path), cache)
    folder = Path(path)
    try:
        is_folder, is_there = folder.is_dir(), folder.exists()
    except OSError as error:  # a name that is too long, a link that leads to itself
        raise InputError(f"data.path: cannot read {path}: {error.strerror}") from None
    if is_folder:
        return Local(folder)
    if is_there:
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
        """Nothing: they are here."""

    def __truediv__(self, name: str) -> "Local":
        """The folder `name` in it."""
        return Local(self.folder / name)

    def __str__(self) -> str:
        """Its path."""
        return str(self.folder)


Mark = tuple[int, int]
"""Bytes and time of change in nanoseconds: what tells one state of an object from another."""


@dataclass(frozen=True)
class _Listing:
    """Everything below an address as it was found: `folders` by their path, each with its files and folders."""

    files: dict[str, dict[str, Mark]] = field(default_factory=dict)
    folders: dict[str, set[str]] = field(default_factory=dict)

    def add(self, path: str, mark: Mark | None) -> None:
        """The file or, without a `mark`, the folder at `path`, which is relative to the address."""
        if mark is not None:
            path, _, name = path.rpartition("/")
            self.files.setdefault(path, {})[name] = mark
        while path:
            path, _, name = path.rpartition("/")
            self.folders.setdefault(path, set()).add(name)


@dataclass(frozen=True, eq=False)
class Bucket:
    """What lies `inside` an address, and `folder`, which holds of it what this node has fetched so far.

    An object counts as unchanged while its size and its time stand; S3 tells the time to a second.
    """

    at: Address
    listing: _Listing
    folder: Path
    inside: str = ""
    limits: RetryLimits = PATIENT
    threads: int = THREADS

    def entries(self) -> tuple[list[str], list[str]]:
        """Files and folders directly in it."""
        files, folders = self.listing.files.get(self.inside, {}), self.listing.folders.get(self.inside, ())
        return sorted(n for n in files if not _hidden(n)), sorted(n for n in folders if not _hidden(n))

    def fetch(self, names: Sequence[str], progress: Progress | None = None) -> None:
        """Bring files to `folder`; of several processes that ask for the same, one does it."""
        if not self._stale(names):
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / ".lock"):
                self._bring(self._stale(names), progress)
        except OSError as error:
            if error.errno in FULL:
                raise self._no_room(names) from None
            raise InputError(f"data: cannot keep files of {self} in {self.folder}: {error}") from None

    def _stale(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if _mark(self.folder / name) != self._there(name)]

    def _there(self, name: str) -> Mark:
        parent, _, last = f"{self.inside}/{name}".strip("/").rpartition("/")
        return self.listing.files[parent][last]

    def _bring(self, stale: Sequence[str], progress: Progress | None) -> None:
        for parent in {(self.folder / name).parent for name in stale}:
            parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self.folder).free < self._bytes(stale):
            raise self._no_room(stale)
        with _answering(self.at):
            store = connected(self.at, self.limits)
        pool = ThreadPoolExecutor(self.threads)
        try:
            for done, _ in enumerate(pool.map(lambda name: self._bring_one(store, name), stale), 1):
                if progress is not None:
                    progress(done, len(stale))
        finally:
            pool.shutdown(cancel_futures=True)

    def _bring_one(self, store: "ObjectStore", name: str) -> None:
        import obstore

        size, changed = self._there(name)
        try:
            with _answering(self.at), object_store.explained(f"{self}/{name}", "read"):
                source = "/".join(filter(None, (self.at.prefix, self.inside, name)))
                content = obstore.get(store, source).bytes().to_bytes()
        except FileNotFoundError:
            content = b""
        if len(content) != size:
            raise Unreached(f"data.path: {self}/{name} changed while it was fetched; run the same command again")
        path = self.folder / name
        part = path.with_name(f".{path.name}.part")
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a file that a power cut left empty would have the right size and time
        os.utime(part, ns=(changed, changed))
        os.replace(part, path)

    def _bytes(self, names: Sequence[str]) -> int:
        return sum(self._there(name)[0] for name in names)

    def _no_room(self, names: Sequence[str]) -> InputError:
        free = shutil.disk_usage(self.folder).free
        return InputError(
            f"data: fetching {len(names)} files of {self} needs {self._bytes(names) / 1e6:,.1f} MB in "
            f"{self.folder}, where {free / 1e6:,.1f} MB are free; free some, set a smaller limit, or set "
            "SWEEP_CACHE to a folder on a larger disk"
        )

    def __truediv__(self, name: str) -> "Bucket":
        """The folder `name` in it."""
        return replace(self, folder=self.folder / name, inside=f"{self.inside}/{name}".strip("/"))

    def __str__(self) -> str:
        """Its address, without options."""
        return "/".join(filter(None, (str(self.at), self.inside)))


def _bucket(at: Address, cache: Path) -> Bucket:
    """Everything below `at`. Raises InputError where nothing is there, Unreached where it cannot be seen."""
    import obstore

    listing = _Listing()
    with _answering(at), object_store.explained(str(at), "listed"):
        store = connected(at, FIRST_LOOK)
        objects = obstore.list(store, at.prefix or None).collect()
        folders = _empty_folders(store, objects)
    for item in objects:
        path = item["path"].removeprefix(at.prefix).strip("/")
        mark = (item["size"], object_store.nanoseconds(item["last_modified"]))
        listing.add(path, mark if path and item["path"] not in folders else None)
    if not listing.files and not listing.folders:
        raise InputError(f"data.path: nothing lies at {at}; correct it, or put images there")
    key = hashlib.sha256(at.text.encode()).hexdigest()[:24]
    return Bucket(at, listing, cache / "fetched" / key)


def _empty_folders(store: "ObjectStore", objects: "Sequence[ObjectMeta]") -> set[str]:
    """The paths of the empty objects `folder/` that some tools make: obstore names them like a file `folder`."""
    import obstore

    empty = {item["path"] for item in objects if not item["size"]}
    parents = {path.rpartition("/")[0] for path in empty}
    prefixes = (obstore.list_with_delimiter(store, parent or None)["common_prefixes"] for parent in parents)
    return empty.intersection(chain.from_iterable(prefixes))


@contextmanager
def _answering(at: Address) -> Iterator[None]:
    try:
        yield
    except AddressError as error:
        raise Unreached(f"data.path: {error}") from None


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself: it is named where it is read
        return False


def _mark(file: Path) -> Mark | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == FOREIGN
