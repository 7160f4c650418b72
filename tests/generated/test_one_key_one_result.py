"""Whatever a worker did before, and wherever training was cut: one key, one result. Jobs and orders at random."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings

from experiments.optimizers.classes import CLASSES
from tests.generated.nursery import Nursery
from tests.generated.one_key import Turn, planned, require_one_result, trained
from tests.generated.random_jobs import HOT, LARGE, Case, Document, cases, photos

MINUTES = float(os.environ.get("GENERATED_MINUTES", "10"))
"""How long each heavy test goes on looking."""
AT_ONCE = 5  # cases between two looks at the clock

SHORT = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
LONG = settings(deadline=None, database=None, max_examples=AT_ONCE, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def tensorflow(_environment: None) -> Iterator[Nursery]:
    """Fresh workers with TensorFlow."""
    with Nursery({"KERAS_BACKEND": "tensorflow"}) as nursery:
        yield nursery


@pytest.fixture(scope="module")
def jax(_environment: None) -> Iterator[Nursery]:
    """Fresh workers with jax."""
    with Nursery({"KERAS_BACKEND": "jax"}) as nursery:
        yield nursery


def hold(nursery: Nursery, case: Case) -> None:
    """Train the jobs of `case` straight through, then again as its turns say, and compare what has one key."""
    jobs = nursery.call(planned, case.documents)
    straight = tuple(Turn(job) for job in range(len(jobs)))
    orders = {"straight": straight, **{f"process {n}": turns for n, turns in enumerate(case.processes)}}
    with TemporaryDirectory() as name:
        folder = Path(name)
        epochs = nursery.call(trained, "straight", jobs, straight, folder)
        answers = [
            nursery.start(trained, process, jobs, orders[process], folder, folder / "straight")
            for process in list(orders)[1:]
        ]
        for answer in answers:
            epochs += answer.get()
        require_one_result(epochs, case.documents, orders)


def document(optimizer: str, **changes: Any) -> Document:
    """A job on 12 photos for training."""
    return {
        "data": {"name": "images", "path": photos(8), "image_size": 32},
        "model": {"name": "vgg11", "width": 1 / 16, "initializer": "he_uniform"},
        "optimizers": {"o": {"class": optimizer}},
        "schedules": {"constant": {}},
        "batch_size": 5,
        "epochs": 2,
        **changes,
    }


def test_what_once_gave_two_results(tensorflow: Nursery) -> None:
    """Slots taken for equal weights, or for NaN; a full batch in parts; a product of betas left behind."""
    data = {"name": "images", "path": photos(20), "image_size": LARGE}
    model = {"name": "vgg11", "width": 1 / 64, "head": "classic"}
    documents = (
        document("SGD", optimizers={"o": {"class": "SGD", "learning_rate": HOT}}),
        document("ScheduleFreeAdamW"),
        document("Nadam", precision="mixed_float16", epochs=3),
        document("SGD", data=data, model=model, batch_size="full"),
        document("SGD", data=data, model=model, batch_size=30),
    )
    hold(tensorflow, Case(documents, ((Turn(1), Turn(4), Turn(2, 0, 2)), (Turn(2, 2), Turn(0), Turn(3)))))


@settings(SHORT, max_examples=3)
@given(case=cases(least=3))
def test_a_few_cases(tensorflow: Nursery, case: Case) -> None:
    hold(tensorflow, case)


@settings(SHORT, max_examples=1)
@given(case=cases(least=2, most=2))
def test_a_case_on_jax(jax: Nursery, case: Case) -> None:
    hold(jax, case)


def look(nursery: Nursery, minutes: float, first: int = 0, **limits: int) -> None:
    """Cases of seeds `first` and on, for so many minutes."""
    end, number = time.monotonic() + minutes * 60, first
    while time.monotonic() < end:

        @seed(number)
        @settings(LONG)
        @given(case=cases(**limits))
        def look_once(case: Case) -> None:
            hold(nursery, case)

        look_once()
        number += 1


@pytest.mark.heavy
def test_many_cases(tensorflow: Nursery) -> None:
    """GENERATED_MINUTES long."""
    look(tensorflow, MINUTES, least=2, most=5)


@pytest.mark.heavy
def test_many_cases_with_two_threads(tensorflow: Nursery) -> None:
    """Half of GENERATED_MINUTES."""
    look(tensorflow, MINUTES / 2, threads=2)


@pytest.mark.heavy
def test_many_cases_on_jax(jax: Nursery) -> None:
    """GENERATED_MINUTES long."""
    look(jax, MINUTES, least=2, most=3)


@pytest.mark.heavy
@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_class(name: str, tensorflow: Nursery) -> None:
    @settings(SHORT, max_examples=3)
    @given(case=cases(classes=(name,), least=2))
    def of_one_class(case: Case) -> None:
        hold(tensorflow, case)

    of_one_class()
