"""A small Google Cloud Storage in a thread of this process: objects with generations, and tokens for its users."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


@dataclass
class Bucket:
    """The objects of a bucket called kept, by name, each with its generation; who asked for tokens."""

    endpoint: str = ""
    objects: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    generation: int = 0
    granted: list[str] = field(default_factory=list)
    turn: threading.Lock = field(default_factory=threading.Lock)

    def address(self, prefix: str) -> str:
        """The address of a prefix."""
        return f"gs://kept/{prefix}?endpoint_override={self.endpoint}&scheme=http"

    def put(self, name: str, content: bytes, expected: str | None) -> int:
        """Store an object; the HTTP status, 412 where its generation is not the one expected."""
        with self.turn:
            if expected is not None and int(expected) != self.objects.get(name, (0, b""))[0]:
                return 412
            self.generation += 1
            self.objects[name] = self.generation, content
            return 200

    def listing(self, prefix: str) -> bytes:
        """The objects and folders right below a prefix, as XML."""
        below = [name for name in sorted(self.objects) if name.startswith(prefix)]
        folders = {name[: name.index("/", len(prefix)) + 1] for name in below if "/" in name[len(prefix) :]}
        time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        items = [
            f"<Contents><Key>{escape(name)}</Key><LastModified>{time}</LastModified><ETag>&quot;e&quot;</ETag>"
            f"<Size>{len(self.objects[name][1])}</Size></Contents>"
            for name in below
            if "/" not in name[len(prefix) :]
        ]
        prefixes = [f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in sorted(folders)]
        return f"<ListBucketResult>{''.join(items + prefixes)}</ListBucketResult>".encode()


def service_account(bucket: Bucket, file: Path) -> Path:
    """A key file of a service account for which the bucket's server makes tokens."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    account = {
        "type": "service_account",
        "client_email": "trainer@project",
        "private_key": key.private_bytes(*encoding).decode(),
        "token_uri": f"http://{bucket.endpoint}/token",
    }
    file.write_text(json.dumps(account))
    return file


def external_account(bucket: Bucket, file: Path) -> Path:
    """Settings of a workload outside Google, which exchanges another party's token for one of Google's."""
    subject = file.with_name("subject")
    subject.write_text("token of another party")
    account = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/pool",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"http://{bucket.endpoint}/token",
        "credential_source": {"file": str(subject)},
    }
    file.write_text(json.dumps(account))
    return file


@contextmanager
def server() -> Iterator[Bucket]:
    """An empty bucket that answers over HTTP, to whoever shows one of its tokens."""
    bucket = Bucket()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.path == "/token":
                bucket.granted.append(parse_qs(content.decode())["grant_type"][0])
                token = {"access_token": "token", "expires_in": 3600, "token_type": "Bearer"}
                self.answer(200, json.dumps(token).encode())
            elif self.headers["authorization"] != "Bearer token":
                self.answer(401, b"<Error><Code>AuthenticationRequired</Code></Error>")
            else:
                self.carry_out(unquote(urlsplit(self.path).path).removeprefix("/kept").strip("/"), content)

        def carry_out(self, name: str, content: bytes) -> None:
            if not name:
                query = parse_qs(urlsplit(self.path).query)
                self.answer(200, bucket.listing(query.get("prefix", [""])[0]))
            elif self.command == "PUT":
                source = unquote(self.headers["x-goog-copy-source"] or "").partition("/")[2]
                if source and source not in bucket.objects:
                    self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
                    return
                content = bucket.objects[source][1] if source else content
                status = bucket.put(name, content, self.headers["x-goog-if-generation-match"])
                self.answer(status, b"", name)
            elif name not in bucket.objects:
                self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            elif self.command == "DELETE":
                del bucket.objects[name]
                self.answer(204, b"")
            else:
                self.answer(200, bucket.objects[name][1], name)

        def answer(self, status: int, body: bytes, name: str = "") -> None:
            self.send_response(status)
            if name in bucket.objects:
                self.send_header("etag", '"e"')
                self.send_header("x-goog-generation", str(bucket.objects[name][0]))
                self.send_header("last-modified", format_datetime(datetime.now(UTC), usegmt=True))
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    bucket.endpoint = f"127.0.0.1:{listener.server_port}"
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    try:
        yield bucket
    finally:
        listener.shutdown()
        listener.server_close()
