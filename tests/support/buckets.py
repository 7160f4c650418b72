"""An S3 server for tests, in a thread of this process, and what can go wrong on the way to it.

`python -m tests.support.buckets HOST PORT FOLDER` serves a copy of a folder, at s3://kept/NAME, until it is
killed.
"""

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

from experiments import object_store
from orchestrator.storage.object_store import ObjectFiles

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def server(host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Host and port of a server that holds an empty bucket called kept, and forgets everything at the end."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(host, port, verbose=False)
    running.start()
    try:
        host, port = running.get_host_and_port()
        endpoint = f"{host}:{port}"
        client(endpoint).create_bucket(Bucket="kept")
        yield endpoint
    finally:
        running.stop()


def client(endpoint: str) -> Any:
    """Amazon's own client of the server."""
    import boto3

    return boto3.client("s3", endpoint_url=f"http://{endpoint}", region_name="us-east-1")


def upload(endpoint: str, folder: Path | str, prefix: str | None = None) -> str:
    """Copy a folder into the bucket; the address of the copy."""
    import obstore

    target = address(endpoint, prefix=prefix)
    place = object_store.parse("data.path", target)
    store = object_store.connected(place)
    for file in (path for path in Path(folder).rglob("*") if path.is_file()):
        obstore.put(store, f"{place.prefix}/{file.relative_to(folder)}", file.read_bytes())
    return target


def address(endpoint: str, bucket: str = "kept", prefix: str | None = None) -> str:
    """The address of a prefix that nobody else uses, or of the one that is given."""
    options = f"endpoint_override={endpoint}&region=us-east-1&scheme=http"
    return f"s3://{bucket}/{prefix or uuid4().hex}?{options}"


def prefix_of(given: str) -> str:
    """The prefix in an address."""
    return object_store.parse("address", given).prefix


def through(endpoint: str, given: str) -> str:
    """The address of the same place, reached by way of another endpoint."""
    return address(endpoint, prefix=prefix_of(given))


def held(files: ObjectFiles) -> list[str]:
    """The leases that somebody holds, or held when he died."""
    return sorted(name for name, info in files.infos("lock").items() if info.size)


class Cable:
    """A port that passes everything on to a server, until `sent`, told of every piece beforehand, raises OSError.

    From then on the cable is cut: what was open is closed, and nothing gets through any more.
    """

    def __init__(self, endpoint: str, sent: Callable[[bytes], None]) -> None:
        """`sent` is called with every piece of bytes on its way to the server, from one thread at a time."""
        host, port = endpoint.split(":")
        self._to, self._sent = (host, int(port)), sent
        self._turn = threading.Lock()
        self._cut, self._done = False, threading.Event()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Cable":
        """The cable is plugged in."""
        return self

    def __exit__(self, *error: object) -> None:
        """And out again."""
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Nothing gets through any more."""
        self._cut = True
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()
        self._done.set()

    def mend(self) -> None:
        """The cable has been cut; what is connected from now on gets through."""
        assert self._done.wait(10)
        self._done.clear()
        self._cut = False

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._cut:
                    near.close()
                    continue
                far = socket.create_connection(self._to)
                self._open += [near, far]
                threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, forth: bool) -> None:
        with suppress(OSError), source, target:
            while piece := source.recv(65536):
                if forth:
                    try:
                        with self._turn:
                            self._sent(piece)
                    except OSError:
                        self.cut()
                        return
                target.sendall(piece)
            target.shutdown(socket.SHUT_RDWR)


CODES = {
    301: "PermanentRedirect",
    400: "ExpiredToken",
    403: "AccessDenied",
    429: "TooManyRequests",
    500: "InternalError",
    501: "NotImplemented",
    503: "SlowDown",
}
LOST = 0
"""A fault: the server gets the request, and nobody gets its answer."""


@contextmanager
def proxy(
    endpoint: str,
    fault: Callable[[str, str], int | None] = lambda method, path: None,
    dropped: str = "",
    headers: Callable[[Mapping[str, str]], object] = lambda headers: None,
) -> Iterator[str]:
    """Host and port of an HTTP server that hands requests on, unless `fault` says otherwise.

    `fault(method, path)` is the HTTP status to answer with instead, LOST, or None. The header `dropped` does not
    reach the server; `headers` is called with those of every request.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers(self.headers)
            del self.headers[dropped]
            status = fault(self.command, self.path)
            if status:
                body = f"<Error><Code>{CODES[status]}</Code><Message>injected</Message></Error>".encode()
                self.answer(status, {}, b"" if self.command == "HEAD" else body)
                return
            onward = HTTPConnection(endpoint)
            onward.request(self.command, self.path, content, dict(self.headers))
            answer = onward.getresponse()
            body = answer.read()
            onward.close()
            if status == LOST:
                self.close_connection = True
                return
            self.answer(answer.status, dict(answer.headers), body)

        def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for key, value in headers.items():
                if key.lower() not in ("connection", "content-length", "date", "server", "transfer-encoding"):
                    self.send_header(key, value)
            length = headers.get("content-length", "0") if self.command == "HEAD" else str(len(body))
            self.send_header("content-length", length)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815

    with _served(Handler) as served:
        yield served


@contextmanager
def answering(status: int, headers: Mapping[str, str]) -> Iterator[str]:
    """Host and port of an HTTP server that gives this answer to every look at a resource."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with _served(Handler) as served:
        yield served


@contextmanager
def _served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    listener = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.server_port}"
    finally:
        listener.shutdown()
        listener.server_close()


if __name__ == "__main__":
    os.environ.update(CREDENTIALS)
    with server(sys.argv[1], int(sys.argv[2])) as here:
        print(upload(here, Path(sys.argv[3]), Path(sys.argv[3]).name), flush=True)
        threading.Event().wait()
