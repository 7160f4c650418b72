"""Addresses of object stores, and what is said of those that cannot be used, before anything is trained."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.object_store import AddressError, RetryLimits, bucket_region, parse
from experiments.settings import InputError
from orchestrator.storage.filesystem import LocalFiles, StoreError
from orchestrator.storage.object_store import ObjectFiles, opened
from orchestrator.storage.opening import files_at
from orchestrator.storage.store import Store
from tests.support import buckets, engine
from tests.support.command import command
from tests.support.sweeps import written


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("s3://b", ("s3", "b", "", ())),
        ("s3://b/", ("s3", "b", "", ())),
        ("gs://b/a/c/", ("gs", "b", "a/c", ())),
        ("s3://b/a?region=eu&scheme=http", ("s3", "b", "a", (("region", "eu"), ("scheme", "http")))),
    ],
)
def test_an_address_has_a_scheme_a_bucket_a_prefix_and_options(text: str, parts: tuple[object, ...]) -> None:
    address = parse("--results", text)
    assert (address.scheme, address.bucket, address.prefix, address.options) == parts
    assert parse("--results", address.text) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s4://b/a", "expected a folder, s3://bucket/prefix or gs://bucket/prefix"),
        ("https://b/a", "expected a folder, s3://"),
        ("s3://", "got no bucket"),
        ("s3:///a", "got no bucket"),
        ("s3://key:secret@b/a", "must not hold credentials"),
        ("s3://b/a?regoin=eu", "did you mean 'region'?"),
        ("gs://b/a?region=eu", "unknown option 'region'"),
    ],
)
def test_a_malformed_address_is_refused_without_a_look(text: str, message: str) -> None:
    with pytest.raises(InputError, match=r"^--results") as refused:
        files_at(text)
    assert message in str(refused.value)
    assert "secret" not in str(refused.value)


def test_what_is_no_address_is_a_folder(tmp_path: Path) -> None:
    assert isinstance(files_at(str(tmp_path)), LocalFiles)


@pytest.mark.parametrize("verb", ["plan", "run", "status", "report", "clean"])
def test_a_bucket_that_is_not_there(
    verb: str, s3: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = buckets.address(s3, "absent")
    code, out, err = command(verb, written(tmp_path), "--results", address, capture=capsys)
    assert (code, out) == (2, "")
    assert err.startswith("error: --results s3://absent/")
    assert "there is no such bucket: create it or correct the address" in err


def test_an_endpoint_where_nothing_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    address = buckets.address("127.0.0.1:1", prefix="dead")
    code, _, err = command("run", written(tmp_path), "--results", address, capture=capsys)
    assert code == 2
    assert "nothing answers there: check the network, the region and the endpoint" in err
    assert time.monotonic() - started < 20


def test_an_endpoint_that_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(InputError, match="nothing answers there"):
            ObjectFiles(parse("--results", buckets.address(endpoint)), RetryLimits(answer=1.0, retries=1))


@pytest.fixture
def reader(s3: str) -> Iterator[dict[str, str]]:
    """The credentials of somebody who may read everything and write nothing; every request is checked."""
    import boto3
    from moto import settings

    iam = boto3.client("iam", endpoint_url=f"http://{s3}", region_name="us-east-1")
    iam.create_user(UserName="reader")
    allowed = {"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName="reader", PolicyName="reads", PolicyDocument=policy)
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    yield {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    settings.INITIAL_NO_AUTH_ACTION_COUNT = float("inf")
    iam.delete_access_key(UserName="reader", AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName="reader", PolicyName="reads")
    iam.delete_user(UserName="reader")


def test_a_bucket_that_may_only_be_read(
    s3: str,
    reader: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in reader.items():
        monkeypatch.setenv(name, value)
    results = ("--results", buckets.address(s3))
    code, out, err = command("run", written(tmp_path), *results, capture=capsys)
    assert (code, out) == (2, "")
    assert "cannot be written (AccessDenied, HTTP status 403" in err
    assert "give credentials" in err
    assert command("status", written(tmp_path), *results, capture=capsys)[0] == 0


def test_credentials_that_are_not_known(
    s3: str,
    reader: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    code, _, err = command("run", written(tmp_path), "--results", buckets.address(s3), capture=capsys)
    assert code == 2
    assert "access is denied: give credentials" in err


def test_a_read_that_meets_a_replacement_gives_one_of_the_two(s3: str) -> None:
    """The object grows at the moment in which it is read."""
    address = buckets.address(s3, prefix="replaced")
    store, direct = Store.at(address), opened(address)
    store.write_note("s", "a", "short")
    long = "a longer text than before " * 20

    def replace(piece: bytes) -> None:
        if piece.startswith(b"GET ") and b"/notes/a.json" in piece and direct.size("s/notes/a.json") < 500:
            Store(direct).write_note("s", "a", long)

    with buckets.Cable(s3, replace) as cable:
        through = Store.at(buckets.address(cable.endpoint, prefix="replaced"))
        assert through.notes("s") == {"a": long}
        assert through.read_reasons("s", "notes") == ({"a": long}, [])


def write(address: str, name: str, size: int) -> None:
    """Write so many bytes in this process, which Ctrl-C interrupts even where a shell has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    opened(address).write(name, b"n" * size)


@pytest.mark.parametrize(
    ("size", "last"),
    [
        (100, b"PUT "),
        (3_000_000, b"PUT "),
        (3_000_000, b""),
        (25_000_000, b"partNumber=2"),
        (25_000_000, b"POST "),
    ],
    ids=["small, at once", "one request, at once", "one request, midway", "parts, midway", "parts, completion"],
)
@pytest.mark.parametrize("fault", ["killed", "cut off"])
def test_an_upload_that_does_not_end_shows_nothing(size: int, last: bytes, fault: str, s3: str) -> None:
    """`last` is in the first line of the request at which it ends; without it, in the middle of a body."""
    address = buckets.address(s3)
    direct = opened(address)
    direct.write("a/there", b"old")
    passed, processes = [0], []

    def end(piece: bytes) -> None:
        passed[0] += len(piece)
        first = piece.partition(b"\r\n")[0]
        ended = last in first and b"uploads" not in first if last else passed[0] > size / 2
        if (b"/a/" not in first and last) or not ended:
            return
        for process in processes:
            process.kill()  # whoever started it waits for it: two who wait take each other's answer
        raise OSError("the cable is cut")

    with buckets.Cable(s3, end) as cable:
        through = buckets.through(cable.endpoint, address)
        for name in ("a/there", "a/new"):
            passed[0] = 0
            if fault == "killed":
                processes[:] = [engine.PROCESSES.Process(target=write, args=(through, name, size))]
                processes[0].start()
                processes[0].join(60)
                assert processes[0].exitcode == -9
            else:
                with pytest.raises(StoreError, match="cannot be written"):
                    ObjectFiles(parse("--results", through), later=RetryLimits(retries=0)).write(name, b"n" * size)
            cable.mend()
    assert direct.read("a/there") == b"old"
    assert direct.names("a") == ["there"]


def test_an_upload_that_is_interrupted_is_whole_or_not_there(s3: str) -> None:
    """Ctrl-C after the first request of an upload in parts."""
    address, size = buckets.address(s3), 25_000_000
    direct, processes = opened(address), []

    def interrupt(piece: bytes) -> None:
        if b"?uploads" in piece.partition(b"\r\n")[0]:
            os.kill(processes.pop().pid, signal.SIGINT)

    with buckets.Cable(s3, interrupt) as cable:
        through = buckets.through(cable.endpoint, address)
        process = engine.PROCESSES.Process(target=write, args=(through, "a/new", size))
        processes.append(process)
        process.start()
        process.join(60)
    assert process.exitcode == 1
    assert direct.names("a") == [] or direct.read("a/new") == b"n" * size


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_store_that_is_busy_is_asked_again(s3: str, status: int) -> None:
    faults = {"PUT": 2, "GET": 2, "DELETE": 2}

    def fault(method: str, path: str) -> int | None:
        if method not in faults or not path.endswith("/a/x") or not faults[method]:
            return None
        faults[method] -= 1
        return status

    with buckets.proxy(s3, fault) as endpoint:
        files = opened(buckets.address(endpoint))
        files.write("a/x", b"content")
        assert files.read("a/x") == b"content"
        files.delete("a/x")
        assert files.names("a") == []
        version = files.create("a/x", b"1")
        assert files.update("a/x", b"2", version) != version
    assert set(faults.values()) == {0}


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (301, r"\(.*\); the bucket lies in another region: correct"),
        (400, r"\(ExpiredToken, HTTP status 400(, 0 bytes)?\); access is denied: give credentials"),
        (403, r"\(AccessDenied, HTTP status 403(, 0 bytes)?\); access is denied: give credentials"),
        (503, r"\(SlowDown, HTTP status 503(, 0 bytes)?\); run the same command again later"),
    ],
)
def test_what_a_store_refuses_is_named_with_what_to_do(s3: str, status: int, message: str) -> None:
    faulty: list[str] = []

    def fault(method: str, path: str) -> int | None:
        return status if faulty else None

    with buckets.proxy(s3, fault) as endpoint:
        files = ObjectFiles(parse("--results", buckets.address(endpoint)), later=RetryLimits(retries=1))
        faulty.append("from now on")
        for done, call in {
            "read": lambda: files.read("a/x"),
            "written": lambda: files.write("a/x", b""),
            "listed": lambda: files.names("a"),
            "deleted": lambda: files.delete("a/x"),
            "moved": lambda: files.move("a/x", "a/y"),
        }.items():
            with pytest.raises(StoreError, match=f"s3://kept/.* cannot be {done} {message}"):
                call()


@pytest.mark.parametrize("ignored", ["If-None-Match", "If-Match", "refused"])
def test_a_store_without_conditional_writes_is_refused(s3: str, ignored: str) -> None:
    def fault(method: str, path: str) -> int | None:
        return 501 if ignored == "refused" and method == "PUT" else None

    with buckets.proxy(s3, fault, dropped=ignored) as endpoint:
        files = opened(buckets.address(endpoint))
        with pytest.raises(InputError, match=r"^--results s3://kept/.*makes no conditional writes"):
            files.probe()
        assert files.names("") == []


def test_folders_that_a_console_has_made_are_no_files(s3: str) -> None:
    """Amazon's console makes an empty object `folder/`; so did earlier versions of this program."""
    address = buckets.address(s3)
    prefix, client = buckets.prefix_of(address), buckets.client(s3)
    for name in ("", "a/", "a/b/", "a/b/x", "a/y"):
        client.put_object(Bucket="kept", Key=f"{prefix}/{name}", Body=b"")
    files = opened(address)
    assert (files.folders(), files.names(""), files.names("a"), files.names("a/b")) == (["a"], [], ["y"], ["x"])


@pytest.mark.parametrize(
    ("variables", "authorization"),
    [
        ({"AWS_ACCESS_KEY_ID": "variable", "AWS_SECRET_ACCESS_KEY": "v"}, "Credential=variable/"),
        ({}, "Credential=default/"),
        ({"AWS_PROFILE": "other"}, "Credential=other/"),
        ({"AWS_PROFILE": "process"}, "Credential=process/"),
        ({"AWS_SHARED_CREDENTIALS_FILE": "/nowhere", "AWS_CONFIG_FILE": "/nowhere"}, None),
    ],
    ids=["variables", "file", "profile", "program", "none"],
)
def test_credentials_come_from_where_awss_own_tools_look(
    variables: dict[str, str],
    authorization: str | None,
    s3: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = {"Version": 1, "AccessKeyId": "process", "SecretAccessKey": "p"}
    (tmp_path / "answer.json").write_text(json.dumps(answer))
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id=default\naws_secret_access_key=d\n"
        "[other]\naws_access_key_id=other\naws_secret_access_key=o\n"
    )
    (tmp_path / "config").write_text(f"[profile process]\ncredential_process=cat {tmp_path}/answer.json\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    seen: list[str | None] = []
    with buckets.proxy(
        s3, lambda method, path: None, headers=lambda h: seen.append(h["authorization"])
    ) as endpoint:
        files = ObjectFiles(parse("--results", buckets.address(endpoint)))
        files.write("a", b"")
    assert len(seen) == 2
    for header in seen:
        assert header is None if authorization is None else authorization in (header or "")


def test_a_profile_that_is_not_there_is_named(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "absent")
    with pytest.raises(InputError, match=r"--results AWS credentials: .*\(absent\).*; access is denied: give"):
        opened(buckets.address(s3))


@pytest.mark.parametrize(
    ("status", "region", "expected"),
    [
        (200, "eu-west-1", "eu-west-1"),
        (403, "eu-west-1", "eu-west-1"),
        (301, "eu-west-1", "eu-west-1"),
        (404, "", ""),
    ],
)
def test_amazon_is_asked_in_which_region_a_bucket_lies(status: int, region: str, expected: str) -> None:
    with buckets.answering(status, {"x-amz-bucket-region": region} if region else {}) as endpoint:
        address = parse("--results", "s3://photos/a")
        if expected:
            assert bucket_region(address, f"http://{endpoint}") == expected
            return
        with pytest.raises(
            AddressError, match=r"^s3://photos/a: its region cannot be found out \(HTTP status 404\)"
        ):
            bucket_region(address, f"http://{endpoint}")


def test_where_nobody_tells_the_region_a_mend_is_named() -> None:
    with pytest.raises(
        AddressError, match=r"its region cannot be found out \(.*refused.*\); .* or set AWS_REGION"
    ):
        bucket_region(parse("--results", "s3://photos/a"), "http://127.0.0.1:1")


def test_an_address_names_another_endpoint_than_the_environment(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{s3}/")
    ObjectFiles(parse("--results", "s3://kept/environment")).probe()
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    ObjectFiles(parse("--results", buckets.address(s3))).probe()
