"""What is outside a sweep file and gives other bits gives another key, or a worker that has it trains nothing."""

import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest

from experiments import user_modules
from tests.generated.nursery import Answer, Nursery, WorkError
from tests.generated.one_key import Epoch, Planned, Turn, planned, require_one_result, trained
from tests.generated.random_jobs import Document, copied, photos, repaint

T = TypeVar("T")

# The libraries read them, or were once said to.
ENVIRONMENTS: Mapping[str, tuple[str, ...]] = {
    "tensorflow": (
        "TF_ENABLE_ONEDNN_OPTS=0",
        "ONEDNN_MAX_CPU_ISA=AVX2",
        "DNNL_MAX_CPU_ISA=SSE41",
        "ONEDNN_DEFAULT_FPMATH_MODE=BF16",
        "TF_SET_ONEDNN_FPMATH_MODE=BF16",
        "TF_XLA_FLAGS=--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
        "XLA_FLAGS=--xla_cpu_enable_fast_math=true",
        "TF_NUM_INTRAOP_THREADS=2",
        "TF_NUM_INTEROP_THREADS=2",
        "OMP_NUM_THREADS=2",
        "TF_ENABLE_MKL_NATIVE_FORMAT=0",
        "TF_DISABLE_MKL=1",
        "TF_ONEDNN_USE_SYSTEM_ALLOCATOR=1",
        "TF_DETERMINISTIC_OPS=1",
        "TF2_BEHAVIOR=0",
        "PYTHONHASHSEED=1",
        "KERAS_HOME=",
    ),
    "jax": (
        "JAX_ENABLE_X64=1",
        "JAX_DEFAULT_MATMUL_PRECISION=bfloat16",
        "JAX_THREEFRY_PARTITIONABLE=0",
        "JAX_RANDOM_SEED_OFFSET=1",
        "JAX_USE_DIRECT_LINEARIZE=0",
        "JAX_NUM_CPU_DEVICES=2",
        "XLA_FLAGS=--xla_cpu_enable_fast_math=true",
        "XLA_FLAGS=--xla_cpu_max_isa=AVX2",
        "XLA_FLAGS=--xla_backend_optimization_level=0",
        "NPROC=2",
        "KERAS_HOME=",
    ),
}
IN_EVERY_RUN = ("TF_ENABLE_ONEDNN_OPTS=0",)
CONFIGURATION = {"floatx": "float64", "epsilon": 0.001, "image_data_format": "channels_first"}


def documents(backend: str, path: str = "") -> list[Document]:
    """Jobs with convolutions, matrix products and random numbers, in the precision that every processor has."""
    shared: Document = {
        "data": {"name": "images", "path": path or photos(8), "image_size": 32},
        "schedules": {"constant": {}},
        "batch_size": 5,
        "epochs": 1,
    }
    classic = {"name": "vgg11", "width": 0.125, "initializer": "he_uniform", "head": "classic"}
    optimizers = ("Adam", "Muon")[: 2 if backend == "tensorflow" else 1]
    return [{**shared, "model": classic, "optimizers": {"o": {"class": name}}} for name in optimizers]


Home = tuple[Nursery, list[Planned], list[Epoch]]


@pytest.fixture(scope="module")
def home(_environment: None) -> Iterator[Callable[[str], Home]]:
    """Gives, for a backend, processes in the tests' environment, the jobs planned there, and their results."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))

        @functools.cache
        def of(backend: str) -> Home:
            nursery = stack.enter_context(Nursery({"KERAS_BACKEND": backend}))
            jobs = nursery.call(planned, documents(backend))
            return nursery, jobs, nursery.call(trained, "home", jobs, turns(jobs), folder / backend)

        yield of


def turns(jobs: Sequence[Planned]) -> tuple[Turn, ...]:
    """One job after the other."""
    return tuple(Turn(number) for number in range(len(jobs)))


def hold(
    before: list[Epoch],
    jobs: list[Planned],
    start: Callable[..., Answer],
    given: Sequence[Document],
    folder: Path,
    reason: str,
) -> None:
    """Hold `before` against what processes of `start` give: for jobs planned there, and for `jobs` of elsewhere.

    The latter may be refused, for `reason`. No two of them may have one key and other bits.
    """
    own = start(planned, given).get()
    orders = dict.fromkeys(("home", "own", "guest"), turns(jobs))
    answers = start(trained, "own", own, turns(own), folder), start(trained, "guest", jobs, turns(jobs), folder)
    require_one_result([*before, *answers[0].get()], given, orders)
    guest = _epochs_or_reason(answers[1])
    if isinstance(guest, str):
        assert reason in guest
    else:
        require_one_result([*before, *guest], given, orders)


def _epochs_or_reason(answer: Answer) -> list[Epoch] | str:
    try:
        epochs: list[Epoch] = answer.get()
        return epochs
    except WorkError as error:
        return str(error)


@pytest.mark.parametrize(
    ("backend", "variable"),
    [
        pytest.param(backend, text, marks=() if text in IN_EVERY_RUN else pytest.mark.heavy)
        for backend, texts in ENVIRONMENTS.items()
        for text in texts
    ],
)
def test_an_environment_variable(backend: str, variable: str, home: Callable[[str], Home], tmp_path: Path) -> None:
    name, _, value = variable.partition("=")
    if name == "KERAS_HOME":
        value = str(tmp_path)
        (tmp_path / "keras.json").write_text(json.dumps(CONFIGURATION))
    _, jobs, before = home(backend)
    with Nursery({"KERAS_BACKEND": backend, name: value}) as nursery:
        given = documents(backend)
        hold(before, jobs, nursery.start, given, tmp_path, "computes other numbers than the run's")


@pytest.mark.heavy
@pytest.mark.parametrize("backend", ENVIRONMENTS)
def test_a_number_of_threads(backend: str, home: Callable[[str], Home], tmp_path: Path) -> None:
    nursery, _, before = home(backend)
    given = [{**document, "resources": {"cpus_per_trial": 2}} for document in documents(backend)]
    jobs = nursery.call(planned, given)
    after = nursery.call(trained, "own", jobs, turns(jobs), tmp_path)
    require_one_result([*before, *after], given, dict.fromkeys(("home", "own"), turns(jobs)))


def test_a_pixel(home: Callable[[str], Home], tmp_path: Path) -> None:
    """Of a photo that keeps its name and the time of its last change."""
    nursery, *_ = home("tensorflow")
    given = documents("tensorflow", copied(photos(8), tmp_path / "photos"))[:1]
    jobs = nursery.call(planned, given)
    before = nursery.call(trained, "home", jobs, turns(jobs), tmp_path)
    repaint(tmp_path / "photos")
    hold(before, jobs, nursery.start, given, tmp_path, "holds other images")


TRAINER = """
import numpy as np
from experiments.trainer import Trainer

class Mine(Trainer):
    def epoch(self, n, learning_rates, momentum=None):
        return super().epoch(n, learning_rates * np.float32({factor}), momentum)
"""


def in_folder(folder: Path, function: Callable[..., T], *arguments: Any) -> T:
    """What `function` gives where the command was given in `folder`."""
    os.environ[user_modules.FOLDER] = str(folder)
    return function(*arguments)


def test_the_source_of_a_trainer(home: Callable[[str], Home], tmp_path: Path) -> None:
    nursery, *_ = home("tensorflow")
    start = functools.partial(nursery.start, in_folder, tmp_path)
    source = tmp_path / "my_trainer.py"
    source.write_text(TRAINER.format(factor=0.5))
    given = [{**documents("tensorflow")[0], "trainer": "my_trainer:Mine"}]
    jobs = start(planned, given).get()
    before = start(trained, "home", jobs, turns(jobs), tmp_path).get()
    source.write_text(TRAINER.format(factor=0.25))
    hold(before, jobs, start, given, tmp_path, "computes other numbers than the run's")
