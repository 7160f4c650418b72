"""Object stores at `s3://bucket/prefix` or `gs://bucket/prefix`, reached through pyarrow's file systems."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from experiments import settings
from experiments.settings import InputError

OPTIONS = {"s3": ("endpoint_override", "region", "scheme"), "gs": ("endpoint_override", "scheme")}
"""What may follow a `?` in an address, by its scheme."""
CONNECT, ANSWER = 5.0, 10.0
"""Seconds for a connection, and for the next byte."""
LOOKS, TRIES = 2, 8
"""How often a request is made: the first ones of a process, which shall fail soon, and all later ones."""
_MISSING = ("NO_SUCH_KEY", "Status(NOT_FOUND")
_NO_BUCKET = "there is no such bucket: create it or correct the address, this program makes none"
_UNREACHED = "nothing answers there: check the network, the region and the endpoint (AWS_ENDPOINT_URL)"
_DENIED = (
    "access is denied: give credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, a role of the "
    "machine, or GOOGLE_APPLICATION_CREDENTIALS) that may list and read there, and for results write and delete"
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
    ("Custom endpoint", _UNREACHED),
)
"""What stands in an error of S3 or GCS, and what to do about it; the first counts."""


class AddressError(Exception):
    """An object store does not do what it was asked. The message names the address and says what to do."""


def expanded(where: str, path: str) -> str:
    """A local `path` with its `~` or `~user` as that folder. Raises InputError where there is no such user."""
    result = os.path.expanduser(path)
    if result.startswith("~"):
        raise InputError(f"{where}: expected a path, got {path!r}, and there is no such user; write ./{path}")
    return result


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

    @property
    def path(self) -> str:
        """Bucket and prefix, as pyarrow's file systems want them."""
        return "/".join(filter(None, (self.bucket, self.prefix)))


def is_address(text: str) -> bool:
    """Whether `text` names an object store, and no folder."""
    return "://" in text


def parse(setting: str, text: str) -> Address:
    """The parts of the address that `setting` has.

    Raises InputError for another scheme, no bucket, secrets and unknown options.

    >>> str(parse("data.path", "s3://photos/cats/?region=eu-west-1"))
    's3://photos/cats'
    """
    try:
        split = urlsplit(text)
    except ValueError as error:
        raise InputError(f"{setting} {text}: is no address: {error}") from None
    if "@" in split.netloc:
        raise InputError(
            f"{setting}: an address must not hold credentials, it is shown and written down; "
            "give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or GOOGLE_APPLICATION_CREDENTIALS"
        )
    if split.scheme not in OPTIONS:
        raise InputError(f"{setting} {text}: expected a folder, s3://bucket/prefix or gs://bucket/prefix")
    if not split.netloc:
        raise InputError(f"{setting} {text}: expected {split.scheme}://bucket/prefix, got no bucket")
    options = tuple(sorted(parse_qsl(split.query, keep_blank_values=True)))
    for key, _ in options:
        if key not in OPTIONS[split.scheme]:
            where = f"{setting} {split.scheme}://{split.netloc}"
            raise settings.unknown(where, "option", key, OPTIONS[split.scheme])
    return Address(split.scheme, split.netloc, split.path.strip("/"), options)


def connected(at: Address, tries: int = TRIES, in_one: bool = True) -> Any:
    """The pyarrow file system at an address. `in_one` request goes what is small; else a failed beginning could
    leave a part.

    Raises AddressError where the bucket's region cannot be found out.
    """
    import pyarrow as pa
    from pyarrow import fs

    options = dict(at.options)
    if at.scheme == "gs":
        return fs.GcsFileSystem(**options, retry_time_limit=timedelta(seconds=tries * CONNECT))
    endpoint = options.get("endpoint_override") or _endpoint()
    scheme, separator, host = (endpoint or "").rpartition("://")
    try:
        region = options.get("region") or _region(at.bucket, endpoint)
    except (OSError, pa.ArrowException) as error:
        raise AddressError(
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


def require_bucket(at: Address, system: Any) -> None:
    """Raise AddressError where there is no such bucket, as far as one is told."""
    from pyarrow.fs import FileType

    try:
        bucket = system.get_file_info(at.bucket)
    except OSError:  # who may only see the prefix is told nothing of the bucket
        return
    if bucket.type == FileType.NotFound:
        raise AddressError(f"{at}: {_NO_BUCKET}")


@contextmanager
def explained(where: str, done: str, size: str = "") -> Iterator[None]:
    """Raise FileNotFoundError for what is not there, AddressError with a mend for all else that fails.

    `where` was to be `done`; `size` is what else to say of it.
    """
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        reason = _reason(error)
        if any(word in reason for word in _MISSING) and "bucket does not exist" not in reason:
            raise FileNotFoundError(where) from None
        mends = (mend for word, mend in _MENDS if word in reason)
        mend = next(mends, "run the same command again later: nothing finished is lost")
        raise AddressError(f"{where}: cannot be {done} ({reason}{size}); {mend}") from None


def _reason(error: Exception) -> str:
    """The beginning of pyarrow's error, from where it stops repeating what was asked."""
    line = str(error).splitlines()[0].partition(" (Request ID")[0]
    start = max(line.find("AWS Error"), line.find("Status("), 0)
    return line[start : start + 200]


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _region(bucket: str, endpoint: str | None) -> str:
    """The region to sign for; a bucket at Amazon is asked where it lies."""
    from pyarrow import fs

    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return named or ("us-east-1" if endpoint else fs.resolve_s3_region(bucket))
