"""Files on an object store through obstore.

There is no rename there and none is needed: an object appears whole when its upload is completed, or not at all.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from uuid import uuid4

from experiments import object_store
from experiments.object_store import FIRST_LOOK, PATIENT, Address, AddressError, RetryLimits, parse
from experiments.settings import InputError
from orchestrator.storage.filesystem import StoreError

if TYPE_CHECKING:
    from obstore import ListResult, ObjectMeta, PutMode, UpdateVersion

SMALL = 8 << 20
"""Bytes up to which an object goes up in one request, and of each part of a larger one."""
PARTS_AT_ONCE = 4
_UNCONDITIONAL = (
    "this object store makes no conditional writes (If-None-Match and If-Match), and without them two runs could "
    "hold one sweep; use a store or a newer server that makes them, or a folder that all nodes mount"
)


class ConflictError(StoreError):
    """A conditional write found the object in another state than it expected."""


@dataclass(frozen=True)
class Version:
    """Which content an object has: its e-tag, and its generation where the store counts them."""

    e_tag: str | None
    generation: str | None


@dataclass(frozen=True)
class ObjectState:
    """An object's content, size in bytes and version; `modified` in nanoseconds of the object store's clock."""

    content: bytes
    version: Version
    modified: int


@dataclass(frozen=True)
class ObjectInfo:
    """An object's size in bytes; `modified` in nanoseconds of the object store's clock; its e-tag, "" for none."""

    size: int
    modified: int
    e_tag: str


@cache
def opened(results: str) -> "ObjectFiles":
    """The files at an address: one object a process, for a connection costs more than a look.

    Raises InputError for a bad address, a bucket that is not there, denied access, and where nothing answers.
    """
    return ObjectFiles(parse("--results", results))


class ObjectFiles:
    """Files below an object store's address."""

    threads = 16

    def __init__(self, address: Address, first: RetryLimits = FIRST_LOOK, later: RetryLimits = PATIENT) -> None:
        """Files at `address`, which must be there and readable. Raises InputError.

        `first` holds for the first look and for conditional writes, `later` for all else.
        """
        self._address = address
        with self._in_time():
            self._first = object_store.connected(address, first)
            self._refuse_absent()
            self._store = object_store.connected(address, later)

    def __str__(self) -> str:
        """The address, without its options."""
        return str(self._address)

    @property
    def address(self) -> str:
        """The address, for `opened`."""
        return self._address.text

    def probe(self) -> None:
        """Write, replace, read and delete an object. Raises InputError where one of these cannot be done.

        That includes a store which takes no notice of a write's condition.
        """
        name, content = f"probe-{uuid4().hex}", os.urandom(16)
        with self._in_time():
            first = self.create(name, content[:8])
            self._require_conflict(name, None)
            self.update(name, content, first)
            self._require_conflict(name, first)
            if self.read(name) != content:
                raise StoreError(f"{self}/{name}: gives other bytes than were written; give another --results")
            self.delete(name)

    def read(self, name: str) -> bytes:
        """The content of `name`. Raises FileNotFoundError and StoreError."""
        return self.state(name).content

    def state(self, name: str) -> ObjectState:
        """The content of `name` with its version. Raises FileNotFoundError and StoreError."""
        import obstore

        with self._explained(name, "read"):
            result = obstore.get(self._store, self._key(name))
            meta, content = result.meta, result.bytes().to_bytes()
        version = Version(meta["e_tag"], meta["version"])
        return ObjectState(content, version, object_store.nanoseconds(meta["last_modified"]))

    def write(self, name: str, content: bytes) -> None:
        """`name` now holds `content`, whole; on any error it still holds what it held. Raises StoreError."""
        import obstore

        with self._explained(name, "written", f", {len(content):,} bytes"):
            obstore.put(
                self._store,
                self._key(name),
                content,
                use_multipart=len(content) > SMALL,
                chunk_size=SMALL,
                max_concurrency=PARTS_AT_ONCE,
            )

    def create(self, name: str, content: bytes) -> Version:
        """`name`, which must not be there, now holds `content`. Raises ConflictError where it is, and StoreError.

        A request whose answer was lost is repeated, and conflicts with itself.
        """
        return self._put(name, content, "create")

    def update(self, name: str, content: bytes, version: Version) -> Version:
        """`name`, which must have this version, now holds `content`. Raises ConflictError where it has another or
        is gone, also as `create` does, and StoreError.
        """
        expected: UpdateVersion = {}
        if version.e_tag is not None:
            expected["e_tag"] = version.e_tag
        if version.generation is not None:
            expected["version"] = version.generation
        return self._put(name, content, expected)

    def delete(self, name: str) -> None:
        """`name` is gone, whether or not it was there. Raises StoreError."""
        import obstore

        try:
            with self._explained(name, "deleted"):
                obstore.delete(self._store, self._key(name))
        except FileNotFoundError:
            return

    def move(self, name: str, to: str) -> None:
        """`name` is now called `to`; cut off, it has both names. Raises FileNotFoundError and StoreError."""
        import obstore

        with self._explained(name, "moved"):
            obstore.copy(self._store, self._key(name), self._key(to))
        self.delete(name)

    def names(self, folder: str, suffix: str = "") -> list[str]:
        """The sorted names of the files right below `folder` that end in `suffix`; none if it is not there."""
        return sorted(name for name in self.infos(folder) if name.endswith(suffix))

    def infos(self, folder: str) -> dict[str, ObjectInfo]:
        """What is known of each file right below `folder` without reading it; nothing if it is not there."""
        key = self._key(folder)
        objects = self._list(folder)["objects"]
        # An object `folder/`, which some tools make, comes back as `folder`.
        return {item["path"].rpartition("/")[2]: _info(item) for item in objects if item["path"] != key}

    def versions(self, folder: str) -> dict[str, str]:
        """The e-tag of each file right below `folder`, by name."""
        return {name: info.e_tag for name, info in self.infos(folder).items()}

    def version(self, name: str) -> str:
        """The file's e-tag; empty where there is no file."""
        return self._head(name).e_tag

    def folders(self) -> list[str]:
        """The sorted names of the folders at the top."""
        return sorted(path.rpartition("/")[2] for path in self._list("")["common_prefixes"])

    def size(self, name: str) -> int:
        """Bytes in `name`; 0 if it is not there."""
        return self._head(name).size

    def modified(self, name: str) -> int:
        """When `name` was last changed, in nanoseconds, exact to a second on S3; 0 if it is not there."""
        return self._head(name).modified

    def temporaries(self) -> list[str]:
        """None: an upload that was cut off shows nothing."""
        return []

    def _key(self, name: str) -> str:
        return "/".join(filter(None, (self._address.prefix, name)))

    def _head(self, name: str) -> ObjectInfo:
        import obstore

        try:
            with self._explained(name, "looked at"):
                return _info(obstore.head(self._store, self._key(name)))
        except FileNotFoundError:
            return ObjectInfo(0, 0, "")

    def _list(self, folder: str) -> "ListResult[Sequence[ObjectMeta]]":
        import obstore

        with self._explained(folder, "listed"):
            return obstore.list_with_delimiter(self._store, self._key(folder) or None)

    def _put(self, name: str, content: bytes, mode: "PutMode") -> Version:
        """A conditional write of something small. Raises ConflictError and StoreError."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            with self._explained(name, "written", f", {len(content):,} bytes"):
                try:
                    result = obstore.put(self._first, self._key(name), content, mode=mode)
                except (AlreadyExistsError, PreconditionError):
                    raise ConflictError(f"{self}/{name}: another process has changed it") from None
        except FileNotFoundError:
            raise ConflictError(f"{self}/{name}: another process has deleted it") from None
        except ConflictError:
            raise
        except StoreError as error:
            if any(sign in str(error) for sign in ("NotImplemented", "HTTP status 501", "NotSupported")):
                raise StoreError(f"{self}/{name}: {_UNCONDITIONAL}") from None
            raise
        return Version(result["e_tag"], result["version"])

    def _require_conflict(self, name: str, version: Version | None) -> None:
        """Raise StoreError unless a write of `name` as a new object, or over an old version, is refused."""
        try:
            self.create(name, b"") if version is None else self.update(name, b"", version)
        except ConflictError:
            return
        self.delete(name)
        raise StoreError(f"{self}/{name}: {_UNCONDITIONAL}")

    def _refuse_absent(self) -> None:
        """Raise unless there is a bucket that can be looked into."""
        import obstore

        try:
            with self._explained("", "read"):
                obstore.get(self._first, self._key("format.json"))
        except FileNotFoundError:
            return

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """What goes wrong before anything has been done is the address's fault."""
        try:
            yield
        except (StoreError, AddressError) as error:
            raise InputError(f"--results {error}") from None

    @contextmanager
    def _explained(self, name: str, done: str, size: str = "") -> Iterator[None]:
        """Raise FileNotFoundError for what is not there, StoreError with a fix for all else."""
        try:
            with object_store.explained(f"{self}/{name}" if name else str(self), done, size):
                yield
        except AddressError as error:
            raise StoreError(str(error)) from None


def _info(meta: "ObjectMeta") -> ObjectInfo:
    modified = object_store.nanoseconds(meta["last_modified"])
    return ObjectInfo(meta["size"], modified, meta["e_tag"] or "")
