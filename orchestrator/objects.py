"""Files on an object store, `s3://bucket/prefix` or `gs://bucket/prefix`, through pyarrow's file systems.

There is no rename there and none is needed: an object appears whole when its upload is completed, or not at all.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pyarrow as pa

from experiments import checks
from experiments.checks import InputError
from orchestrator.files import Files, LocalFiles, StoreError

T = TypeVar("T")

OPTIONS = {"s3": ("endpoint_override", "region", "scheme"), "gs": ("endpoint_override", "scheme")}
"""What may follow a `?` in an address, by its scheme."""
CONNECT, ANSWER = 5.0, 10.0
"""Seconds for a connection, and for the next byte."""
LOOKS, TRIES = 2, 8
"""How often a request is made: the first ones of a process, which shall fail soon, and all later ones."""
SMALL = 4 << 20
"""Bytes up to which an object goes up in one request."""
_MISSING = ("NO_SUCH_KEY", "Status(NOT_FOUND")
_NO_BUCKET = "there is no such bucket: create it or correct the address, this program makes none"
_UNREACHED = "nothing answers there: check the network, the region and the endpoint (AWS_ENDPOINT_URL)"
_DENIED = (
    "access is denied: give credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, a role of the "
    "machine, or GOOGLE_APPLICATION_CREDENTIALS) that may list, read, write and delete there"
)
_MENDS = (
    ("NO_SUCH_BUCKET", _NO_BUCKET),
    ("bucket does not exist", _NO_BUCKET),
    ("NETWORK_CONNECTION", _UNREACHED),
    ("ACCESS_DENIED", _DENIED),
    ("INVALID_ACCESS_KEY_ID", _DENIED),
    ("SIGNATURE_DOES_NOT_MATCH", _DENIED),
    ("TOKEN", _DENIED),
    ("HTTP status 40", _DENIED),
    ("PERMISSION_DENIED", _DENIED),
    ("UNAUTHENTICATED", _DENIED),
    ("OAuth2", _DENIED),
    ("UNAVAILABLE", _UNREACHED),
)
"""What stands in an error of S3 or GCS, and what to do about it; the first counts."""


@dataclass(frozen=True)
class Address:
    """An object store's address: `scheme`://`bucket`/`prefix`?`options`. The prefix may be empty."""

    scheme: str
    bucket: str
    prefix: str
    options: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """The address without its options."""
        return f"{self.scheme}://{'/'.join(filter(None, (self.bucket, self.prefix)))}"

    @property
    def text(self) -> str:
        """The whole address: `parse` gives the same again."""
        query = "&".join(f"{key}={value}" for key, value in self.options)
        return f"{self}?{query}" if query else str(self)


def is_address(results: str) -> bool:
    """Whether `results` names an object store, and no folder."""
    return "://" in results


def parse(results: str) -> Address:
    """The parts of an address. Raises InputError for another scheme, no bucket, secrets and unknown options."""
    split = urlsplit(results)
    if split.scheme not in OPTIONS:
        raise InputError(f"--results {results}: expected a folder, s3://bucket/prefix or gs://bucket/prefix")
    if "@" in split.netloc:
        raise InputError(
            "--results: an address must not hold credentials, it is shown and written down; "
            "give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or GOOGLE_APPLICATION_CREDENTIALS"
        )
    if not split.netloc:
        raise InputError(f"--results {results}: expected {split.scheme}://bucket/prefix, got no bucket")
    options = tuple(sorted(parse_qsl(split.query, keep_blank_values=True)))
    for key, _ in options:
        if key not in OPTIONS[split.scheme]:
            raise checks.unknown(
                f"--results {split.scheme}://{split.netloc}", "option", key, OPTIONS[split.scheme]
            )
    return Address(split.scheme, split.netloc, split.path.strip("/"), options)


def files_at(results: str) -> Files:
    """The files at a local path or at an object store's address. Raises InputError as `opened` does."""
    return opened(results) if is_address(results) else LocalFiles(Path(results))


@cache
def opened(results: str) -> "ObjectFiles":
    """The files at an address: one object a process, for a connection costs more than a look.

    Raises InputError for a bad address, a bucket that is not there, denied access, and where nothing answers.
    """
    return ObjectFiles(parse(results))


class ObjectFiles:
    """Files below an object store's address."""

    threads = 16

    def __init__(self, at: Address) -> None:
        """Files at `at`, which must be there and readable. Raises InputError."""
        self._at = at
        self._root = "/".join(filter(None, (at.bucket, at.prefix)))
        with self._in_time():
            self._refuse_absent(_connected(at, LOOKS, True))
            self._system = _connected(at, TRIES, True)
            self._for_large = _connected(at, TRIES, False)

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
            self._put(_connected(self._at, LOOKS, True), name, content)
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
        return f"{self._root}/{name}" if name else self._root

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
        """Raise StoreError unless there is a bucket that can be looked into."""
        from pyarrow.fs import FileType

        with self._explained("", "read"):
            there = system.get_file_info(self._path("format.json"))
        if there.type != FileType.NotFound:
            return
        try:
            bucket = system.get_file_info(self._at.bucket)
        except OSError:  # who may only see the prefix is told nothing of the bucket
            return
        if bucket.type == FileType.NotFound:
            raise StoreError(f"{self}: {_NO_BUCKET}")

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """What goes wrong before anything has been done is the address's fault."""
        try:
            yield
        except StoreError as error:
            raise InputError(f"--results {error}") from None

    @contextmanager
    def _explained(self, name: str, done: str, size: str = "") -> Iterator[None]:
        """Raise FileNotFoundError for what is not there, StoreError with a mend for all else."""
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            reason = _reason(error)
            if any(word in reason for word in _MISSING) and "bucket does not exist" not in reason:
                raise FileNotFoundError(f"{self}/{name}") from None
            mends = (mend for word, mend in _MENDS if word in reason)
            mend = next(mends, "run the same command again later: nothing finished is lost")
            where = f"{self}/{name}" if name else str(self)
            raise StoreError(f"{where}: cannot be {done} ({reason}{size}); {mend}") from None


def _reason(error: Exception) -> str:
    """The beginning of pyarrow's error, from where it stops repeating what was asked."""
    line = str(error).splitlines()[0].partition(" (Request ID")[0]
    start = max(line.find("AWS Error"), line.find("Status("), 0)
    return line[start : start + 200]


def _uninterrupted(function: Callable[[], T]) -> T:
    """`function`, in a thread: Ctrl-C in the middle would close the stream, which makes an object of one half."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def _connected(at: Address, tries: int, in_one: bool) -> Any:
    """The file system. `in_one` request goes what is small; else a failed beginning could leave a part.

    Raises StoreError where the bucket's region cannot be found out.
    """
    from pyarrow import fs

    options = dict(at.options)
    if at.scheme == "gs":
        return fs.GcsFileSystem(**options, retry_time_limit=timedelta(seconds=tries * CONNECT))
    endpoint = options.get("endpoint_override") or _endpoint()
    scheme, separator, host = (endpoint or "").rpartition("://")
    try:
        region = options.get("region") or _region(at.bucket, endpoint)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"{at}: its region cannot be found out ({_reason(error)}); create the bucket, correct the address "
            "or its endpoint (AWS_ENDPOINT_URL), or set AWS_REGION"
        ) from None
    return fs.S3FileSystem(
        endpoint_override=host or None,
        scheme=options.get("scheme") or (scheme if separator else "https"),
        region=region,
        connect_timeout=CONNECT,
        request_timeout=ANSWER,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=tries),
        allow_delayed_open=in_one,
    )


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _region(bucket: str, endpoint: str | None) -> str:
    """The region to sign for; a bucket at Amazon is asked where it lies."""
    from pyarrow import fs

    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return named or ("us-east-1" if endpoint else fs.resolve_s3_region(bucket))
