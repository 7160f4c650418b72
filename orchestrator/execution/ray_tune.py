"""Ray Tune in a run: it asks the recorder which trial is next, and reports to it what happened."""

import io
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.exceptions import RayActorError
from ray.tune import (
    Callback,
    CheckpointConfig,
    FailureConfig,
    PlacementGroupFactory,
    RunConfig,
    Stopper,
    TuneConfig,
    Tuner,
    with_parameters,
    with_resources,
)
from ray.tune.search import Searcher

from experiments.settings import last_line
from orchestrator.cluster import node_inventory
from orchestrator.cluster.autoscaler import grows
from orchestrator.cluster.capacity import Capacity
from orchestrator.cluster.ray_session import has_unreachable_node, node_resources
from orchestrator.execution.recorder import RunRecorder
from orchestrator.execution.trainable import WorkerTrainable
from orchestrator.execution.trial import RunContext, TrialAssignment
from orchestrator.planning.plan import Plan
from orchestrator.spec.trials import located
from orchestrator.storage.filesystem import StoreError
from orchestrator.storage.store import Store

AHEAD = 64
"""Trials that wait for new nodes, at most, where a cluster grows."""


class _HasRecorder:
    """Base of what Tune pickles for a restore that never happens: the recorder is left out."""

    _recorder: RunRecorder

    def __getstate__(self) -> dict[str, Any]:
        return {}

    @contextmanager
    def _ending_the_run_on_errors(self) -> Iterator[None]:
        """A StoreError ends the run, and `fan_out` raises it; Tune would only print it."""
        try:
            yield
        except StoreError as error:
            self._recorder.fatal = self._recorder.fatal or error


class _NextTrial(_HasRecorder, Searcher):
    """Gives Tune the trials in the scheduler's order. None makes Tune wait for a running trial or for resources.

    Tune gets only as many trials as can run at once. It starts the trials that it has in an order of its own, and
    may give a trial to a worker that is free earlier than the one that starts for it. On a cluster that grows some
    more trials wait in Tune: nodes are started for them.
    """

    def __init__(self, recorder: RunRecorder) -> None:
        super().__init__()
        self._recorder = recorder
        self._capacity = Capacity(node_resources, queue=AHEAD if grows() else 0)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        del trial_id
        if self._recorder.fatal or self._recorder.scheduler.exhausted or self._recorder.budget_is_spent:
            return str(Searcher.FINISHED)
        with self._ending_the_run_on_errors():
            trial = self._recorder.next(self._capacity.fits)
            if trial is None:
                return None
            resources = trial.recipe.settings.resources
            return {
                "trial_id": trial.id,
                "attempt": 0,
                "cpus": resources.cpus_per_trial,
                "gpus": resources.gpus_per_trial,
            }
        return str(Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: the callback below gets more detail."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store has all results."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the store has all results."""


class _Reports(_HasRecorder, Callback):
    """Reports Tune's events to the recorder. A trial's next step starts after `on_trial_result` has returned."""

    def __init__(self, recorder: RunRecorder) -> None:
        self._recorder = recorder

    def on_step_begin(self, iteration: int, trials: list[Any], **_: Any) -> None:
        with self._ending_the_run_on_errors():
            self._recorder.tick()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        if result["row"] is not None and not result["recomputed"]:
            trial.run_metadata.num_failures = 0  # only failures in the same epoch add up
        with self._ending_the_run_on_errors():
            self._recorder.progress(self._recorder.by_id[trial.config["trial_id"]], result)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        with self._ending_the_run_on_errors():
            self._recorder.end(self._recorder.by_id[trial.config["trial_id"]], _failure(trial))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        if isinstance(_error(trial), RayActorError) and has_unreachable_node():
            # Ray may start the trial on the lost node once more, which is no failure of the trial.
            trial.run_metadata.num_failures -= 1
        with self._ending_the_run_on_errors():
            trial.config["attempt"] = self._recorder.retry(
                self._recorder.by_id[trial.config["trial_id"]], _failure(trial)
            )


class _Stops(_HasRecorder, Stopper):
    """Stops every trial as soon as the store cannot be used, and a trial after its epoch when the budget is
    spent.
    """

    def __init__(self, recorder: RunRecorder) -> None:
        self._recorder = recorder

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        trial = self._recorder.by_id[result["config"]["trial_id"]]
        return not result["done"] and self._recorder.must_pause(trial, result["row"])

    def stop_all(self) -> bool:
        return self._recorder.fatal is not None


def _error(trial: Any) -> Exception | None:
    """The last error of a Tune trial, from the file that Tune has just written on this machine."""
    try:
        error: Exception = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    except (OSError, TypeError):
        return None
    return error


def _failure(trial: Any) -> str:
    """Why a Tune trial failed last, in one line."""
    error = _error(trial)
    if error is None:
        return "it failed without saying why"
    if isinstance(error, RayActorError):
        return "its worker process died (killed, out of memory, or its node is gone)"
    return last_line(getattr(error, "cause", None) or error)


def fan_out(plan: Plan, store: Store, recorder: RunRecorder) -> None:
    """Run every unfinished trial of `plan` on the Ray cluster that is connected. Raises StoreError."""
    context = RunContext(
        run=recorder.run,
        sweep=plan.sweep.name,
        results=store.address,
        trainer=plan.sweep.trainer,
        save_best=plan.sweep.save_best,
        assignments={
            t.id: TrialAssignment(
                replace(t, recipe=located(t.recipe)),
                plan.cursors[t.id].chain,
                plan.root_facts.description(t.recipe).fingerprint,
                plan.root_facts.conditions(t.recipe),
            )
            for t in plan.may_run
        },
        software=node_inventory.software(),
    )
    with tempfile.TemporaryDirectory(prefix="sweep-") as scratch:
        tuner = Tuner(
            with_resources(
                with_parameters(WorkerTrainable, context=context),
                lambda config: PlacementGroupFactory([{"CPU": config["cpus"], "GPU": config["gpus"]}]),
            ),
            tune_config=TuneConfig(
                search_alg=_NextTrial(recorder),
                num_samples=len(plan.may_run),
                reuse_actors=True,
                trial_dirname_creator=lambda t: str(t.trial_id),
            ),
            run_config=RunConfig(
                name=plan.sweep.name,
                storage_path=scratch,
                checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
                failure_config=FailureConfig(max_failures=plan.sweep.retries),
                callbacks=[_Reports(recorder)],
                stop=_Stops(recorder),
                verbose=0,
            ),
        )
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        with redirect_stdout(io.StringIO()):  # Tune prints tables even where it is told not to
            tuner.fit()
    if recorder.fatal:
        raise recorder.fatal
