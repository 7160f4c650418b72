"""The sentences on a plan."""

from orchestrator.console.plan_and_status import facts
from orchestrator.planning import plan
from orchestrator.storage.store import Store
from tests.support.sweeps import small


def test_a_plan_counts_the_images_of_each_set(store: Store) -> None:
    def data_line(test: float) -> str:
        return facts(plan.make(small(data={"name": "digits", "test": test}), store), store)[1]

    assert ", 1348 + 449 images (0, 1, 2, 3, …) at 32x32x1, " in data_line(0)
    assert ", 1078 + 449 images and 270 test images (0, 1, 2, 3, …) at 32x32x1, " in data_line(0.15)
