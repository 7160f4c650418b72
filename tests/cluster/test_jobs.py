"""What `sweep submit` and `sweep stop` ask for, and how they say that it cannot be had."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from experiments.settings import InputError
from orchestrator.cluster import jobs
from orchestrator.cluster.jobs import ServerAddress
from tests.support.command import command
from tests.support.sweeps import small, written

HERE = Path("cluster.yaml")


@contextmanager
def answering(status: int) -> Iterator[str]:
    """The address of a server that answers everything with `status`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"ray_version": "2.60.0"}')

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_request_runs_the_same_sweep_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.delenv("SWEEP_CACHE")
    file = tmp_path / "some folder" / "small.yaml"
    asked = jobs.request(file, small(), ("epochs=3", "data.path=/a b"), "/mnt/results")
    assert asked.command == (
        "env KERAS_BACKEND=jax COLUMNS=115 python -m orchestrator.cli run 'some folder/small.yaml' --address auto "
        "--results /mnt/results -S epochs=3 -S 'data.path=/a b'"
    )


def test_other_settings_are_another_request() -> None:
    file = Path("small.yaml")
    same, again, longer = (jobs.request(file, small(epochs=n), (), "/mnt").metadata for n in (4, 4, 5))
    assert same == again
    assert {key for key in same if same[key] != longer[key]} == {"settings"}


@pytest.mark.parametrize(
    ("changes", "results", "file", "message"),
    [
        ({}, None, "s.yaml", r"results: 'results' is relative .* every node of the cluster sees"),
        ({}, "some/where", "s.yaml", "results: 'some/where' is relative"),
        (
            {"data": {"name": "images", "path": "data/x", "image_size": 32}},
            "/r",
            "s.yaml",
            "data.path: 'data/x' is",
        ),
        ({}, "/r", "../s.yaml", "lies outside this folder, which is what the cluster gets a copy of"),
    ],
)
def test_what_only_this_machine_sees_is_refused(
    changes: dict[str, Any], results: str | None, file: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        jobs.request(Path(file), small(**changes), (), results)


@pytest.mark.parametrize("results", ["/mnt/results", "s3://bucket/results"])
def test_shared_results_are_fine(results: str) -> None:
    assert jobs.request(Path("s.yaml"), small(), (), results).results == results


def test_results_and_data_stay_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = {"name": "images", "path": f"{tmp_path}/photos/cats", "image_size": 32}
    asked = jobs.request(Path("s.yaml"), small(data=data), (), f"{tmp_path}/out")
    assert {"/photos/cats", "/out", "/results", "/data", ".git"} <= set(jobs._excludes(asked))


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "asks for a token, and this machine has no token for it"),
        (403, "asks for a token, and this machine has another token than it"),
        (404, "what answers there is no job server of Ray's"),
        (500, "what answers there is no job server of Ray's"),
    ],
)
def test_a_server_that_refuses_is_quoted(
    status: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("0" * 64)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    refused = pytest.raises(InputError, match=message)
    with answering(status) as address, refused, jobs.server(ServerAddress(address, HERE)):
        pass


def test_an_address_with_nothing_behind_it_is_found_out_at_once(free_address: str) -> None:
    began = time.monotonic()
    message = r"no job server .* answers there .*Connection refused"
    with pytest.raises(InputError, match=message), jobs.server(ServerAddress(free_address, HERE)):
        pass
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("address", ["auto", "ray://host:10001", "host:8265", "ftp://host"])
def test_another_kind_of_address_is_refused(address: str) -> None:
    message = r"expected the job server's address, such as http://127\.0\.0\.1:8265"
    with pytest.raises(InputError, match=message), jobs.server(ServerAddress(address, HERE)):
        pass


@pytest.mark.parametrize("verb", ["submit", "stop"])
def test_the_command_line_says_what_is_wrong(
    verb: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    free_address: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    file = written(tmp_path, **small().document)
    for given, message in (
        ((tmp_path / "none.yaml", "--results", "/r"), "none.yaml"),
        ((file, "--results", "/r"), "--cluster cluster.yaml: cannot be read (No such file or directory)"),
        ((file, "--results", "/r", "--address", free_address), "no job server of Ray's answers there"),
    ):
        code, out, err = command(verb, *given, capture=capsys)
        assert (code, out) == (2, "")
        assert message in err


@pytest.fixture
def free_address() -> str:
    """An address at which nothing listens any more."""
    with answering(200) as address:
        return address
