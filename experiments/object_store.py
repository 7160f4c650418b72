"""Object stores at `s3://bucket/prefix` or `gs://bucket/prefix`, reached through obstore.

Credentials come from botocore and google-auth: they know every place where AWS's and Google's own tools look.
"""

import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from experiments import settings
from experiments.settings import InputError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, GCSCredential, GCSStore, RetryConfig, S3Config, S3Credential, S3Store

    ObjectStore = S3Store | GCSStore

OPTIONS = {"s3": ("endpoint_override", "region", "scheme"), "gs": ("endpoint_override", "scheme")}
"""What may follow a `?` in an address, by its scheme."""
_EPOCH = datetime.fromtimestamp(0, UTC)
_CREDENTIALS_LAST = timedelta(minutes=10)
"""How long credentials that expire are used: botocore gives none that expire earlier."""
_GCS_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_NO_BUCKET = "there is no such bucket: create it or correct the address, this program makes none"
_UNREACHED = "nothing answers there: check the network, the region and the endpoint (AWS_ENDPOINT_URL)"
_DENIED = (
    "access is denied: give credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, a role of the "
    "machine, or GOOGLE_APPLICATION_CREDENTIALS) that may list and read there, and for results write and delete"
)
_OTHER_REGION = "the bucket lies in another region: correct the address's region, or AWS_REGION"
_BAD_KEY = "rename or delete that object"
_LATER = "run the same command again later: nothing finished is lost"


class AddressError(Exception):
    """An object store does not do what it was asked. The message names the address and says what to do."""


@dataclass(frozen=True)
class RetryLimits:
    """How long a request may take and how often it is repeated, in seconds.

    A request is repeated when nobody answers, and after the statuses 429 and 5xx; the pauses grow.
    """

    connect: float = 5.0
    """For a connection."""
    answer: float = 60.0
    """From the beginning of a request to its answer, and from one piece of the answer to the next."""
    retries: int = 12
    total: float = 40.0
    """From the beginning of the first request to the last repetition."""


FIRST_LOOK = RetryLimits(answer=10.0, retries=3, total=8.0)
"""For the first requests of a process, which shall fail soon, and for all whose content is small."""
PATIENT = RetryLimits()
"""For all others: the loss of a store for half a minute stops no run."""


def expanded(label: str, path: str) -> str:
    """A local `path` with its `~` or `~user` as that folder. Raises InputError where there is no such user."""
    result = os.path.expanduser(path)
    if result.startswith("~"):
        raise InputError(f"{label}: expected a path, got {path!r}, and there is no such user; write ./{path}")
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
            label = f"{setting} {split.scheme}://{split.netloc}"
            raise settings.unknown(label, "option", key, OPTIONS[split.scheme])
    return Address(split.scheme, split.netloc, split.path.strip("/"), options)


def connected(address: Address, limits: RetryLimits = PATIENT) -> "ObjectStore":
    """The object store's bucket; paths in it begin with the address's prefix.

    Without any credentials requests are not signed: a public bucket can still be read.

    Raises AddressError where the bucket's region cannot be found out.
    """
    by_scheme: dict[str, Callable[[Address, RetryLimits], ObjectStore]] = {"s3": _s3, "gs": _gcs}
    return by_scheme[address.scheme](address, limits)


def nanoseconds(time: datetime) -> int:
    """A time as nanoseconds since 1970, exact.

    >>> nanoseconds(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC))
    1000005000
    """
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000


@contextmanager
def explained(label: str, done: str, size: str = "") -> Iterator[None]:
    """Raise FileNotFoundError for what is not there, AddressError with a fix for all else that fails.

    `label` was to be `done`; `size` is what else to say of it.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except (FileNotFoundError, BaseError) as error:
        failure = _Failure.of(error)
        if isinstance(error, FileNotFoundError) and failure.code != "NoSuchBucket":
            raise FileNotFoundError(label) from None
        raise AddressError(f"{label}: cannot be {done} ({failure}{size}); {failure.fix}") from None


@dataclass(frozen=True)
class _Failure:
    """What an object store, or the way to it, answered. `status` is HTTP's, 0 where there was no answer."""

    kind: str
    text: str
    status: int
    code: str

    @classmethod
    def of(cls, error: Exception) -> "_Failure":
        """The answer in obstore's error. Its type says nothing of failed lists, the status in its text does."""
        text = str(error).partition("\n\nDebug source")[0]
        status = re.search(r"status code: (\d+)", text)
        code = re.search(r"<Code>(\w+)</Code>", text)
        return cls(type(error).__name__, text, int(status[1]) if status else 0, code[1] if code else "")

    @property
    def fix(self) -> str:
        """What to do about it."""
        expired = self.status == 400 and (not self.code or "Token" in self.code)
        if self.code == "NoSuchBucket":
            return _NO_BUCKET
        if self.kind in ("PermissionDeniedError", "UnauthenticatedError") or self.status in (401, 403) or expired:
            return _DENIED
        if "redirect without LOCATION" in self.text or "AuthorizationHeaderMalformed" in self.text:
            return _OTHER_REGION
        if self.kind == "InvalidPathError":
            return _BAD_KEY
        return _UNREACHED if "HTTP error" in self.text else _LATER

    def __str__(self) -> str:
        """The error's code and status, or the end of obstore's sentence, without the request."""
        if self.status:
            return f"{self.code}, HTTP status {self.status}" if self.code else f"HTTP status {self.status}"
        return self.text.splitlines()[0].rpartition(" - ")[2][:200]


def _s3(address: Address, limits: RetryLimits) -> "S3Store":
    from obstore.store import S3Store

    options = dict(address.options)
    endpoint = options.get("endpoint_override") or _endpoint()
    scheme, separator, host = (endpoint or "").rpartition("://")
    scheme = options.get("scheme") or (scheme if separator else "https")
    config: S3Config = {
        "region": options.get("region") or _region(address, endpoint),
        "virtual_hosted_style_request": not host and "." not in address.bucket,
        "disable_bulk_delete": True,  # not every S3 server knows it
    }
    if host:
        config["aws_endpoint_url_s3"] = f"{scheme}://{host.rstrip('/')}"
    credentials = _aws_credentials()
    if credentials is None:
        config["skip_signature"] = True
    return S3Store(
        address.bucket,
        config=config,
        client_options=_client(limits, scheme),
        retry_config=_retries(limits),
        credential_provider=credentials,
    )


def _gcs(address: Address, limits: RetryLimits) -> "GCSStore":
    from obstore.store import GCSStore

    options = dict(address.options)
    scheme = options.get("scheme") or "https"
    endpoint = options.get("endpoint_override")
    credentials = _google_credentials()
    return GCSStore(
        address.bucket,
        config={
            **({"base_url": f"{scheme}://{endpoint}"} if endpoint else {}),
            **({"skip_signature": True} if credentials is None else {}),
        },
        client_options=_client(limits, scheme),
        retry_config=_retries(limits),
        credential_provider=credentials,
    )


def _client(limits: RetryLimits, scheme: str) -> "ClientConfig":
    return {
        "allow_http": scheme == "http",
        "connect_timeout": timedelta(seconds=limits.connect),
        "read_timeout": timedelta(seconds=limits.answer),
        "timeout": timedelta(hours=2),  # of a whole answer, however large
    }


def _retries(limits: RetryLimits) -> "RetryConfig":
    return {
        "max_retries": limits.retries,
        "retry_timeout": timedelta(seconds=limits.total),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=10),
            "base": 3,
        },
    }


def _aws_credentials() -> "Callable[[], S3Credential] | None":
    """What gives the credentials that AWS's own tools would use; None where there are none."""
    import botocore.credentials
    import botocore.exceptions
    import botocore.session

    try:
        credentials: Any = botocore.session.Session().get_credentials()
    except botocore.exceptions.BotoCoreError as error:
        raise AddressError(f"AWS credentials: {error}; {_DENIED}") from None
    if credentials is None:
        return None

    def current() -> "S3Credential":
        frozen = credentials.get_frozen_credentials()
        expire = isinstance(credentials, botocore.credentials.RefreshableCredentials)
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _CREDENTIALS_LAST if expire else None,
        }

    return current


def _google_credentials() -> "Callable[[], GCSCredential] | None":
    """What gives the credentials that Google's own tools would use; None where there are none."""
    import google.auth
    import google.auth.exceptions
    from google.auth.transport.requests import Request

    try:
        credentials: Any = google.auth.default(scopes=[_GCS_SCOPE])[0]
    except google.auth.exceptions.DefaultCredentialsError as error:
        if "GOOGLE_APPLICATION_CREDENTIALS" in os.environ:  # it was meant, so nobody goes on without it
            raise AddressError(f"GOOGLE_APPLICATION_CREDENTIALS: {error}; {_DENIED}") from None
        return None

    def current() -> "GCSCredential":
        if not credentials.valid:
            credentials.refresh(Request())
        expiry = credentials.expiry and credentials.expiry.replace(tzinfo=UTC)
        return {"token": credentials.token, "expires_at": expiry}

    return current


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _region(address: Address, endpoint: str | None) -> str:
    """The region to sign for; a bucket at Amazon is asked where it lies. Raises AddressError."""
    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return named or ("us-east-1" if endpoint else bucket_region(address))


def bucket_region(address: Address, service: str = "https://s3.amazonaws.com") -> str:
    """The region that Amazon names with every answer about a bucket, refusals included. Raises AddressError."""
    request = urllib.request.Request(f"{service}/{address.bucket}", method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=FIRST_LOOK.connect) as answer:
            headers, reason = answer.headers, "the answer names none"
    except urllib.error.HTTPError as error:
        headers, reason = error.headers, f"HTTP status {error.code}"
    except OSError as error:
        headers, reason = {}, str(getattr(error, "reason", error))
    region: str | None = headers.get("x-amz-bucket-region")
    if not region:
        raise AddressError(
            f"{address}: its region cannot be found out ({reason}); create the bucket, correct the address "
            "or its endpoint (AWS_ENDPOINT_URL), or set AWS_REGION"
        )
    return region
