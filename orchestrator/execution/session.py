"""Ray for a run: started or joined, and checked. The data is decoded before."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from experiments import datasets
from experiments.environment import cache_folder
from orchestrator.cluster import shared_storage
from orchestrator.cluster.ray_session import connected
from orchestrator.doctor import examination
from orchestrator.doctor.check import Check
from orchestrator.planning.plan import Plan
from orchestrator.planning.root_key import Counting
from orchestrator.spec.trials import Recipe, data_paths
from orchestrator.storage.store import Store


@contextmanager
def session(plan: Plan, store: Store, address: str | None) -> Iterator[Sequence[Check]]:
    """Ray for a run of `plan`, at `address` or on this machine; none where nothing is left to do.

    Yields the checks of `sweep doctor` that people should know of. Raises InputError before anything is recorded:

    - for a failed check with which no run can work, such as more CPUs or GPUs a trial than there are, or nodes
      with other versions or without access to the store;
    - for an address where no cluster answers;
    - for a trainer that cannot be imported, or takes no momentum where a schedule cycles it.
    """
    if not plan.has_work:
        yield ()
        return
    from orchestrator.execution.trainers import require_momentum, trainer_class

    for trial in plan.unfinished:
        if plan.cursors[trial.id].chain.momentum is not None:
            require_momentum(plan.sweep.trainer, trainer_class(plan.sweep.trainer), trial.recipe.label)
    recipes = [t.recipe for t in plan.unfinished]
    with session_for(recipes, plan.sweep.trainer, store, address, plan) as findings:
        yield findings


@contextmanager
def session_for(
    recipes: Sequence[Recipe], trainer: str, store: Store, address: str | None, plan: Plan | None = None
) -> Iterator[Sequence[Check]]:
    """Ray for training `recipes`, at least one, with `trainer`, for a `plan` or without one.

    Yields and raises what `session` does.
    """
    from orchestrator.execution.trainers import trainer_class

    trainer_class(trainer)
    resources = [recipe.settings.resources for recipe in recipes]
    needs = {
        "CPU": max(r.cpus_per_trial for r in resources),
        "GPU": max(r.gpus_per_trial for r in resources),
    }
    paths = data_paths(recipes)
    with connected(address, needs, shared_storage.credentials(store.address, *paths)):
        shared_storage.require(store.address, paths)
        yield examination.require(examination.judge(examination.inspect(plan, store, address)))


def prepare(recipes: Iterable[Recipe], counting: Counting) -> None:
    """Decode the data of `recipes`, so that bad images are reported before anything is written.

    Raises InputError naming the image.
    """
    for data in dict.fromkeys(recipe.settings.data for recipe in recipes):
        with counting("decoding images") as counter:
            datasets.load(data, cache_folder(), counter)
