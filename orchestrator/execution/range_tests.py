"""Learning-rate range tests on the workers: run in parallel, their curves kept in the store."""

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.lr_range_test import RangeTestCurve
from experiments.settings import InputError, last_line
from orchestrator.cluster import node_inventory
from orchestrator.cluster.conditions import Conditions, require_conditions, require_device
from orchestrator.execution import session
from orchestrator.execution.trainers import job_of, require_same, warm_trainer
from orchestrator.planning import lr_range_tests
from orchestrator.planning.lr_range_tests import LrRangeTest
from orchestrator.planning.root_key import Counting, RootFacts, silently
from orchestrator.spec import trials as grid
from orchestrator.spec.sweep import Sweep
from orchestrator.spec.trials import Recipe
from orchestrator.storage.filesystem import StoreError
from orchestrator.storage.store import Store


@dataclass(frozen=True)
class RangeTestOutcome:
    """The `curves` of a sweep's range tests, and why tests `failed`, by label."""

    curves: Sequence[RangeTestCurve]
    failed: Mapping[str, str]


def find_learning_rates(
    sweep: Sweep,
    store: Store,
    say: Callable[[str], None],
    optimizer: str | None = None,
    address: str | None = None,
    counting: Counting = silently,
) -> RangeTestOutcome:
    """Test the range of each of the sweep's optimizers, or of one; curves that the store has are not run again.

    Trials that were trained with a range test as their schedule have a curve too. Raises InputError before
    anything is written, HeldError while another process runs the sweep, and StoreError.
    """
    root_facts = RootFacts(sweep.trainer, counting)
    tests, damaged = lr_range_tests.of_optimizers(sweep, root_facts, store, optimizer)
    missing = [test for test in tests if test.curve is None]
    failed: dict[str, str] = {}
    if missing:
        recipes = [test.recipe for test in missing]
        store.probe()
        session.prepare(recipes, counting)
        with session.session_for(recipes, sweep.trainer, store, address) as findings, store.lock(sweep.name):
            for finding in findings:
                say(finding.line)
            store.create()
            for damage in damaged:
                say(f"{damage.reason}; set aside as {store.set_aside(damage)}, the test is run again")
            failed = run(missing, sweep.trainer, store, say)
        tests, _ = lr_range_tests.of_optimizers(sweep, root_facts, store, optimizer)
    curves = [test.measured for test in tests if test.curve]
    return RangeTestOutcome(curves + lr_range_tests.curves_of_trials(sweep, store, optimizer), failed)


def run(tests: Sequence[LrRangeTest], trainer: str, store: Store, say: Callable[[str], None]) -> dict[str, str]:
    """Run `tests` in parallel on the connected Ray and keep their curves; why tests failed, by label.

    Raises StoreError when a curve cannot be written, and where a worker's conditions are not those of the key.
    """
    import ray

    failed: dict[str, str] = {}
    software = node_inventory.software()
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
        arguments = recipe, test.seed, test.fingerprint, rates, trainer, software, test.conditions
        waiting[task.remote(*arguments)] = test
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
            failed[test.label] = str(cause) if isinstance(cause, InputError) else last_line(cause)
            say(f"range test {test.label}: failed: {failed[test.label]}")
        else:
            store.write_range_test(test.key, curve)
            count, steps = len(curve["loss"]), test.ramp.steps
            say(f"range test {test.label}: {count} of {steps} steps in {curve['seconds']:.1f} s")
    return failed


def _process(recipe: Recipe) -> dict[str, str]:
    """Environment variables of the worker. Ray uses another process for other values: threads stay as they are."""
    settings = recipe.settings
    return {
        "OMP_NUM_THREADS": str(settings.resources.cpus_per_trial),
        "SWEEP_DETERMINISTIC": str(settings.deterministic),
    }


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

    `fingerprint` is that of the data, `software` are the driver's versions, `expected` are the key's conditions.

    Raises InputError for data that cannot be loaded and for a trainer without range tests. Raises StoreError where
    versions or conditions differ, so that the curve would not be that of its key.
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
