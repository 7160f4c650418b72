"""Names that people give, as file names: of values on axes, of sweeps, of results folders."""

import os
from pathlib import Path

import pytest

from experiments.settings import InputError
from orchestrator.planning import plan
from orchestrator.storage.store import Store
from tests.support import engine
from tests.support.command import command
from tests.support.sweeps import photos, small, written

VERBS = ("plan", "run", "status", "report", "lr-find", "clean", "doctor")


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


def test_no_sweep_is_called_as_something_that_a_store_keeps_at_its_top(memory: Path) -> None:
    store = Store.at(str(memory / "results"))
    engine.run(small(epochs=1, seeds=[0]), store)
    store.write_range_test("ab", {})
    names = set(os.listdir(str(store))) - {"small"}
    assert names >= {"format.json", "lock", "checkpoints", "range-tests"}
    passing = [f"probe-{'0af1' * 8}", f"shared-{'0af1' * 8}-node"]
    for name in (*names, *(name.upper() for name in names), *passing, "a" * 101):
        with pytest.raises(InputError, match=r"^name: "):
            plan.make(small(name=name), store)
    assert small(name="probe-lr").name == "probe-lr"


def broken(kind: str, folder: Path) -> Path:
    """A results path that cannot be used."""
    path = folder / kind
    if kind == "file":
        path.write_text("no folder")
    elif kind == "below a file":
        (folder / "plain").write_text("no folder")
        return folder / "plain" / "results"
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "nowhere":
        path.symlink_to(folder / "missing")
    elif kind == "long name":
        return folder / ("x" * 300)
    else:
        return folder.joinpath(*["y" * 200] * 18)
    return path


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", ["file", "below a file", "loop", "nowhere", "long name", "long path"])
def test_a_results_path_that_cannot_be_one_is_a_sentence(
    kind: str, verb: str, memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, results = written(memory), broken(kind, memory)
    code, out, err = command(verb, file, "--results", results, capture=capsys)
    assert (code, out) == (2, "")
    assert f"--results {results}: expected a folder" in err
    assert err.count("\n") == 1
