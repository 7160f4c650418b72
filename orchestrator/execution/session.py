"""Ray for a run: started or joined, examined, and the data decoded before."""

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

    Gives what `sweep doctor` finds worth knowing. Raises InputError, before anything is recorded, for what it
    finds impossible: more CPUs or GPUs a trial than there are, nodes with other versions or that do not see the
    store, and so on; for an address where no cluster answers; and for a trainer that cannot be imported or that
    takes no momentum where a schedule cycles it.
    """
    if not plan.unfinished:
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
    """Ray for training `recipes`, at least one, with `trainer`, for a `plan` or apart from any.

    Gives and raises what `session` does.
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
        yield examination.require(examination.judge(examination.look(plan, store, address)))


def prepare(recipes: Iterable[Recipe], counting: Counting) -> None:
    """Decode what `recipes` train on, so that bad images are found before anything is written.

    Raises InputError naming the image.
    """
    for data in dict.fromkeys(recipe.settings.data for recipe in recipes):
        with counting("decoding images") as counter:
            datasets.load(data, cache_folder(), counter)
