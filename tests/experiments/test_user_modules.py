"""Modules of the user's own, in the folder where the command is given, for the driver and for the workers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import user_modules
from experiments.settings import InputError
from tests.support.command import ROOT
from tests.support.sweeps import small

LIBRARIES = ("random", "numpy", "colorsys", "safetensors")


def test_a_trainer_and_a_shape_beside_the_sweep_file(tmp_path: Path) -> None:
    """The real script; files called like libraries, imported late ones among them, take nobody's place."""
    for name in LIBRARIES:
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('not the library {name}')\n")
    (tmp_path / "beside.py").write_text("SCALE = 0.5\n")
    (tmp_path / "my_trainer.py").write_text(
        "from tests.support.fakes import VectorTrainer\n"
        "class T(VectorTrainer):\n"
        "    def epoch(self, n, rates):\n"
        "        import colorsys, beside\n"
        "        return super().epoch(n, rates * beside.SCALE)\n"
    )
    (tmp_path / "my_rates.py").write_text("print('hello')\ndef half(t, total):\n    return 0.0 * t + 0.5\n")
    document = small(schedules={"constant": {}}, seeds=[0], epochs=1).document
    document |= {"trainer": "my_trainer:T", "schedules": {"half": {"name": "my_rates:half"}}}
    (tmp_path / "sweep.yaml").write_text(json.dumps(document))
    script = Path(sys.executable).parent / "sweep"
    done = subprocess.run(
        [script, "run", "sweep.yaml", "--results", "r", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trials"] == {"total": 2, "completed": 2, "diverged": 0, "failed": 0}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('first\\nlast')", "RuntimeError: last"),
        ("def f(:", "SyntaxError: "),
        ("import sys; sys.exit(7)", "SystemExit: 7"),
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("raise ValueError", "ValueError"),
    ],
)
def test_whatever_stands_in_its_way_is_said_in_one_line(
    source: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"broken_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        user_modules.load("trainer", name)
    assert str(caught.value).startswith(f"trainer: cannot import module {name!r}: {reason}")
    assert "\n" not in str(caught.value)
    user_modules.find("trainer", name)


@pytest.mark.parametrize("name", ["nothing_of_this_name", "nothing.of.this.name", "", ".", "a..b"])
def test_a_module_that_is_not_there(name: str) -> None:
    with pytest.raises(InputError, match=r"^trainer: cannot import module"):
        user_modules.find("trainer", name)
