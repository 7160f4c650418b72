"""What a worker imports, and that nothing it left out is missing afterwards."""

import importlib.util
import subprocess
import sys

import pytest

from experiments.training.backends.lean_imports import KERAS_EXTRAS, without
from tests.support.command import ROOT

TRAINED = """
import sys
from experiments.training import backends
backends.start(1)
import keras
from experiments.models import vgg
vgg.build(vgg.Model("vgg11", 0.02), (32, 32, 3), 2)
extras = ("sklearn", "matplotlib", "pandas")
assert "keras.src.wrappers.sklearn_wrapper" in sys.modules
assert not {name.partition(".")[0] for name in sys.modules} & set(extras), "imported"
import numpy, pandas, matplotlib.pyplot, sklearn.linear_model
from pathlib import Path
from tempfile import mkdtemp
from experiments import datasets
data = datasets.check("data", {"name": "digits", "image_size": 32})
assert datasets.describe(data, Path(mkdtemp())).train > 1000
assert keras.models.clone_model(vgg.build(vgg.Model("vgg11", 0.02), (32, 32, 3), 2)).count_params() > 100
model = sklearn.linear_model.LinearRegression().fit(numpy.arange(4.0)[:, None], numpy.arange(4.0))
assert abs(model.coef_[0] - 1) < 1e-6
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_trainer_imports_none_of_the_extras_of_keras_and_all_of_them_can_be_imported_later(backend: str) -> None:
    environment = {"KERAS_BACKEND": backend, "PATH": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", TRAINED], capture_output=True, text=True, env=environment, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr


def test_within_a_package_is_as_if_it_were_not_installed_and_afterwards_it_is_there() -> None:
    assert "wave" not in sys.modules
    with without("wave", "json"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("wave")
        assert importlib.util.find_spec("wave") is None
        import json

        assert json.loads("1") == 1
    assert importlib.import_module("wave").Wave_read
    assert "json" in sys.modules


def test_an_error_within_leaves_nothing_behind() -> None:
    with pytest.raises(KeyError), without("sndhdr_that_nobody_has"):
        raise KeyError
    assert "sndhdr_that_nobody_has" not in sys.modules


def test_an_import_within_another_one_keeps_the_package_away_until_the_outer_end() -> None:
    with without(*KERAS_EXTRAS[:1], "tabnanny"):
        with without("tabnanny"):
            pass
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("tabnanny")
    assert importlib.import_module("tabnanny")
