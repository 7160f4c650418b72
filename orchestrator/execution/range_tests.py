"""Range tests on the workers: run in parallel, their curves kept."""

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.settings import InputError
from orchestrator.cluster import node_inventory
from orchestrator.cluster.conditions import Conditions, require_conditions, require_device
from orchestrator.execution.trainers import job_of, require_same, warm_trainer
from orchestrator.planning.lr_range_tests import Test
from orchestrator.spec import trials as grid
from orchestrator.spec.trials import Recipe
from orchestrator.storage.filesystem import StoreError
from orchestrator.storage.store import Store


def run(tests: Sequence[Test], trainer: str, store: Store, say: Callable[[str], None]) -> dict[str, str]:
    """Run `tests` in parallel on the Ray that is connected and keep their curves; why those failed that did.

    Raises StoreError when a curve cannot be written, and where a worker must not measure.
    """
    import ray

    failed, software = {}, node_inventory.software()
    waiting = {}
    for test in tests:
        resources = test.recipe.settings.resources
        task = ray.remote(measure_range).options(
            num_cpus=resources.cpus_per_trial,
            num_gpus=resources.gpus_per_trial,
            max_retries=2,
            runtime_env={"env_vars": _process(test.recipe)},
        )
        recipe = grid.located(test.recipe.at_rate(test.ramp.start))
        rates = test.ramp.learning_rates()
        asked = recipe, test.seed, test.fingerprint, rates, trainer, software, test.conditions
        waiting[task.remote(*asked)] = test
    while waiting:
        (done, *_), _ = ray.wait(list(waiting))
        test = waiting.pop(done)
        try:
            curve = ray.get(done)
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            if isinstance(cause, StoreError):
                for other in waiting:
                    ray.cancel(other)
                raise cause from None
            failed[test.label] = _reason(cause)
        else:
            store.write_range_test(test.key, curve)
            count, of = len(curve["loss"]), test.ramp.steps
            say(f"range test {test.label}: {count} of {of} steps in {curve['seconds']:.1f} s")
        if test.label in failed:
            say(f"range test {test.label}: failed: {failed[test.label]}")
    return failed


def _process(recipe: Recipe) -> dict[str, str]:
    """Variables by which Ray tells processes apart: one keeps its threads, and how it computes, for life."""
    settings = recipe.settings
    return {
        "OMP_NUM_THREADS": str(settings.resources.cpus_per_trial),
        "SWEEP_DETERMINISTIC": str(settings.deterministic),
    }


def _reason(cause: BaseException) -> str:
    """Why a test failed, in one line."""
    if isinstance(cause, InputError):
        return str(cause)
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1] if lines else 'no message'}"


def measure_range(
    recipe: Recipe,
    seed: int,
    fingerprint: str,
    learning_rates: npt.NDArray[np.float32],
    trainer: str,
    software: Mapping[str, str | None],
    expected: Conditions,
) -> dict[str, Any]:
    """The curve of a range test with these rates, float32 [n], on fresh weights: a Ray task on a warm worker.

    `fingerprint` is that of the data, `software` what the driver runs on, `expected` the conditions of the key.

    Raises InputError for data that cannot be loaded and for a trainer that has no range test, StoreError where the
    curve would be another than that of its key.
    """
    resources = recipe.settings.resources
    require_same(software)
    require_conditions(expected, trainer, resources.gpus_per_trial > 0)
    warm = warm_trainer(trainer, resources.cpus_per_trial)
    if not hasattr(warm, "range_test"):
        raise InputError(f"trainer: {trainer} has no method range_test; give learning rates as numbers")
    warm.reset(job_of(recipe, seed, fingerprint))
    require_device(trainer, warm.device, resources.gpus_per_trial > 0)
    started_at, started = datetime.now(UTC), time.perf_counter()
    losses = warm.range_test(learning_rates)
    return {
        "optimizer": {"class": recipe.optimizer.class_name, **recipe.optimizer.settings},
        "seed": seed,
        "learning_rate": [float(rate) for rate in learning_rates[: len(losses)]],
        "loss": [float(loss) for loss in losses],
        "seconds": time.perf_counter() - started,
        "host": socket.gethostname(),
        "device": warm.device,
        "started_at": started_at.isoformat(),
    }
