"""A worker process: Ray Tune's class Trainable around `trial.TrialRun`; one `step()` is one epoch."""

from typing import Any

from ray.tune import Trainable

from experiments import datasets
from experiments.settings import InputError
from orchestrator.cluster.conditions import require_conditions
from orchestrator.execution.trainers import Trainer, require_same, warm_trainer
from orchestrator.execution.trial import RunContext, TrialAssignment, TrialRun
from orchestrator.storage.filesystem import StoreError


class WorkerTrainable(Trainable):
    """Keeps the trainer warm from trial to trial, and reports users' mistakes as results."""

    def setup(self, config: dict[str, Any], context: RunContext) -> None:
        """The process starts with its first trial."""
        self._context = context
        self._trainer: Trainer | None = None
        self._run: TrialRun | None = None
        self._trial_id: str = config["trial_id"]
        self._fencing_token: int = config["attempt"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The same process gets another trial."""
        self._run = None
        self._trial_id = new_config["trial_id"]
        self._fencing_token = new_config["attempt"]
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: checkpoints lie in the store."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing: checkpoints lie in the store."""

    def step(self) -> dict[str, Any]:
        """Train one epoch of the trial."""
        try:
            if self._run is None:
                assignment = self._context.assignments[self._trial_id]
                trainer = self._warm_trainer(assignment)
                self._run = TrialRun(assignment, self._context, trainer, self._fencing_token)
            return self._run.advance()
        except datasets.Unreached:
            raise  # a bucket that is out of reach now may be there for the next attempt
        except InputError as error:
            return {"row": None, "done": True, "notes": [], "failed": str(error)}
        except StoreError as error:
            return {"row": None, "done": True, "notes": [], "failed": str(error), "store": True}

    def _warm_trainer(self, assignment: TrialAssignment) -> Trainer:
        context, resources = self._context, assignment.trial.recipe.settings.resources
        if self._trainer is None:
            require_same(context.software)
        if assignment.conditions is not None:
            require_conditions(assignment.conditions, context.trainer, resources.gpus_per_trial > 0)
        if self._trainer is None:
            self._trainer = warm_trainer(context.trainer, resources.cpus_per_trial)
        return self._trainer
