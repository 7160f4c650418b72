"""What the tests share: small sweeps on the digits, a store in a temporary folder, one Ray for all."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import sweep
from orchestrator.store import Store
from orchestrator.sweep import Sweep
from tests import buckets

ROOT = Path(__file__).parents[1]


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
    from orchestrator.cluster import connected

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


def small(**changes: Any) -> Sweep:
    """A sweep of two optimizers, two schedules and two seeds with a trainer that takes no time."""
    document: dict[str, Any] = {
        "name": "small",
        "data": {"name": "digits", "image_size": 32},
        "model": {"width": 0.0625},
        "batch_size": 64,
        "epochs": 4,
        "seeds": [0, 1],
        "optimizers": {"sgd": {"class": "SGD", "learning_rate": 0.01}, "adam": {"class": "Adam"}},
        "schedules": {"constant": {}, "cosine": {}},
        "trainer": "tests.fakes:VectorTrainer",
    }
    return sweep.from_document({**document, **changes})
