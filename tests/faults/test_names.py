"""Names that people give, as file names: whatever a value is, a trial's files are found again where they belong."""

from pathlib import Path

from orchestrator import plan
from orchestrator.store import Store
from tests.conftest import small
from tests.faults import engine
from tests.test_cli import photos


def test_a_trial_whose_value_is_a_path_is_known_after_it_was_trained(memory: Path) -> None:
    folders = [memory / name for name in ("first", "first/../climbing/out", "third of all")]
    for number, folder in enumerate(folders):
        photos(folder, [f"{kind}/{count}.png" for kind in ("dark", "bright") for count in range(3 + number)])
    sweep = small(
        data={"name": "images", "image_size": 32, "path": str(folders[0])},
        grid={"data.path": [str(folder) for folder in folders]},
        optimizers={"sgd": {"class": "SGD"}},
        schedules={"constant": {}},
        seeds=[0],
        epochs=2,
    )
    store = Store.at(str(memory / "results"))
    assert engine.run(sweep, store).trained == 6
    engine.assert_whole(sweep, store)
    assert engine.run(sweep, store).trained == 0
    assert plan.make(sweep, store).trials[1].recipe.axes == {"data.path": str(folders[1])}
