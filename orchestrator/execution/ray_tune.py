"""Ray Tune's side of a run: it asks the books which trial is next and tells them what happened."""

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

from orchestrator.cluster import node_inventory
from orchestrator.cluster.autoscaler import grows
from orchestrator.cluster.capacity import Capacity
from orchestrator.cluster.ray_session import alive, loses_a_node
from orchestrator.execution.recorder import RunRecorder
from orchestrator.execution.trainable import WorkerTrainable
from orchestrator.execution.trial import RunContext, TrialAssignment
from orchestrator.planning.plan import Plan
from orchestrator.spec.trials import located
from orchestrator.storage.filesystem import StoreError
from orchestrator.storage.store import Store

AHEAD = 64
"""Trials that wait for nodes to be started, at most, where a cluster grows."""


class _HasRecorder:
    """Has the books; leaves them out where Tune pickles itself for a restore that is never made."""

    _recorder: RunRecorder

    def __getstate__(self) -> dict[str, Any]:
        return {}

    @contextmanager
    def _ending_on_trouble(self) -> Iterator[None]:
        """A store that cannot be used ends the run; Tune would make a traceback of it."""
        try:
            yield
        except StoreError as error:
            self._recorder.fatal = self._recorder.fatal or error


class _Next(_HasRecorder, Searcher):
    """Hands Tune the trials as the frontier lets them go: None makes it wait for a running trunk, or for room.

    Tune gets no more than can run at once: what is in its hands has left the frontier's order, and where a worker
    is free before another has started, it takes that one's trial away and the start was in vain. Where a cluster
    grows, some more wait: nodes are started for them.
    """

    def __init__(self, recorder: RunRecorder) -> None:
        super().__init__()
        self._recorder = recorder
        self._places = Capacity(alive, ahead=AHEAD if grows() else 0)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        del trial_id
        if self._recorder.fatal or self._recorder.frontier.exhausted:
            return str(Searcher.FINISHED)
        with self._ending_on_trouble():
            trial = self._recorder.next(self._places.fits)
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
        """Nothing: the callback below hears of it with more detail."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the store is the truth."""


class _Events(_HasRecorder, Callback):
    """Tells the books what Tune saw. A trial's next step is scheduled only after `on_trial_result` returned."""

    def __init__(self, recorder: RunRecorder) -> None:
        self._recorder = recorder

    def on_step_begin(self, iteration: int, trials: list[Any], **_: Any) -> None:
        with self._ending_on_trouble():
            self._recorder.tick()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
    ) -> None:
        if result["row"] is not None and not result["again"]:
            trial.run_metadata.num_failures = 0  # only failures that stand in the way of the same epoch add up
        with self._ending_on_trouble():
            self._recorder.progress(self._recorder.by_id[trial.config["trial_id"]], result)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        with self._ending_on_trouble():
            self._recorder.end(self._recorder.by_id[trial.config["trial_id"]], _reason(trial))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        if isinstance(_error(trial), RayActorError) and loses_a_node():
            trial.run_metadata.num_failures -= (
                1  # Ray may start it on the dead node again, and that is not its fault
            )
        with self._ending_on_trouble():
            trial.config["attempt"] = self._recorder.retry(
                self._recorder.by_id[trial.config["trial_id"]], _reason(trial)
            )


class _Trouble(_HasRecorder, Stopper):
    """Stops every trial as soon as the store cannot be used."""

    def __init__(self, recorder: RunRecorder) -> None:
        self._recorder = recorder

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._recorder.fatal is not None


def _error(trial: Any) -> Exception | None:
    """Why a Tune trial failed last, from the file that Tune has just written on this machine."""
    try:
        found: Exception = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
    except (OSError, TypeError):
        return None
    return found


def _reason(trial: Any) -> str:
    """Why a Tune trial failed last, in one line."""
    error = _error(trial)
    if error is None:
        return "it failed without saying why"
    if isinstance(error, RayActorError):
        return "its worker process died (killed, out of memory, or its node is gone)"
    cause = getattr(error, "cause", None) or error
    lines = [line for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1].strip() if lines else 'no message'}"


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
            for t in plan.unfinished
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
                search_alg=_Next(recorder),
                num_samples=len(plan.unfinished),
                reuse_actors=True,
                trial_dirname_creator=lambda t: str(t.trial_id),
            ),
            run_config=RunConfig(
                name=plan.sweep.name,
                storage_path=scratch,
                checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
                failure_config=FailureConfig(max_failures=plan.sweep.retries),
                callbacks=[_Events(recorder)],
                stop=_Trouble(recorder),
                verbose=0,
            ),
        )
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        with redirect_stdout(io.StringIO()):  # Tune prints tables even where it is told not to
            tuner.fit()
    if recorder.fatal:
        raise recorder.fatal
