"""Results in Google Cloud Storage, by a server that keeps to its XML interface."""

from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.settings import InputError
from orchestrator.storage.filesystem import HeldError
from orchestrator.storage.lock import LockTimes
from orchestrator.storage.object_store import ConflictError, opened
from orchestrator.storage.opening import locks_for
from tests.support import google


@pytest.mark.parametrize("account", [google.service_account, google.external_account])
def test_objects_are_written_on_condition_and_a_sweep_is_held(
    account: Callable[[google.Bucket, Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with google.server() as bucket:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account(bucket, tmp_path / "account.json")))
        files = opened(bucket.address("results"))
        files.probe()
        files.write("a/x", b"content")
        files.move("a/x", "b/y")
        assert (files.names("a"), files.names("b"), files.read("b/y")) == ([], ["y"], b"content")
        files.delete("b/y")
        files.delete("b/y")
        with pytest.raises(FileNotFoundError):
            files.read("b/y")
        version = files.create("c", b"1")
        files.update("c", b"2", version)
        with pytest.raises(ConflictError):
            files.update("c", b"3", version)
        first, second = (locks_for(files, LockTimes(look=0.1)) for _ in range(2))
        with first.lock("s"):
            with pytest.raises(HeldError, match="is being run by process"), second.lock("s"):
                pass
            first.check()
        with second.lock("s"):
            pass
        assert bucket.granted


def test_credentials_that_are_named_and_missing_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    with pytest.raises(
        InputError, match=r"--results GOOGLE_APPLICATION_CREDENTIALS: .*absent\.json was not found"
    ):
        opened("gs://kept/results")
