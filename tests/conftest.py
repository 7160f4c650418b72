"""What the tests share: small sweeps on the digits, a store in a temporary folder, one Ray for all."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.storage.store import Store
from tests.support import buckets
from tests.support.command import ROOT


@pytest.fixture(scope="session", autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Workers find the tests' trainers, and decoded data stays out of the user's cache."""
    os.environ["SWEEP_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["DEATHS"] = str(tmp_path_factory.mktemp("deaths"))
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ.update(buckets.CREDENTIALS)


@pytest.fixture(scope="session")
def ray_session(_environment: None) -> Iterator[None]:
    """One Ray for the whole test session: starting it takes longer than most tests."""
    from orchestrator.cluster.ray_session import connected

    with connected(None, {"CPU": 1}):
        yield


@pytest.fixture(scope="session")
def s3(_environment: None) -> Iterator[str]:
    """Host and port of an S3 server on this machine, with a bucket called kept."""
    with buckets.server() as endpoint:
        yield endpoint


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where results may lie: an empty folder, and an empty prefix in a bucket."""
    if request.param == "local":
        return str(tmp_path / "results")
    return buckets.address(request.getfixturevalue("s3"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store.at(str(tmp_path / "results"))
