"""How fast whole sweeps are, against a plain script and against nothing: `make benchmark`."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from orchestrator.spec.yaml_document import read
from tests.support.command import ROOT
from tests.support.sweeps import small

pytestmark = pytest.mark.benchmark

IMAGES, SIZE, WIDTH, BATCH, EPOCHS = 1500, 32, 0.25, 16, 3
LEFT_OUT = ("cosine-corrected", "one-cycle-corrected", "range-test")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,500 pictures of two classes that can be told apart by their colours."""
    top = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for number in range(IMAGES):
        kind = ("cat", "dog")[number % 2]
        (top / kind).mkdir(exist_ok=True)
        pixels = generator.integers(0, 200, (SIZE, SIZE, 3)) + (55 if kind == "cat" else 0) * np.array([1, 0, 0])
        Image.fromarray(pixels.astype(np.uint8)).save(top / kind / f"{number}.png")
    return top


def timed(*command: str | Path, cache: Path | None = None) -> tuple[float, str]:
    """Seconds that a command takes as a person would wait for it, and what it prints."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    if cache:
        environment["SWEEP_CACHE"] = str(cache)
    started = time.perf_counter()
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return time.perf_counter() - started, done.stdout


def rounds() -> Iterator[int]:
    """Two rounds, in turn: a machine that is busy for a while is busy for both."""
    return iter(range(2))


def test_the_article_against_a_plain_script(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document: dict[str, Any] = read(ROOT / "experiments" / "modelarts.yaml")
    document["recipes"] = [r for r in document["recipes"] if r["schedule"] not in LEFT_OUT]
    assert len(document["recipes"]) == 11
    file = tmp_path / "eleven.yaml"
    file.write_text(json.dumps(document))
    overrides = {
        "data.path": folder,
        "data.image_size": SIZE,
        "model.width": WIDTH,
        "batch_size": BATCH,
        "epochs": EPOCHS,
    }
    settings = [part for key, value in overrides.items() for part in ("-S", f"{key}={value}")]
    script = ROOT / "tests" / "benchmarks" / "plain_keras.py"
    plain, ours, alone = [], [], []
    for turn in rounds():
        plain.append(timed(sys.executable, script, folder, str(SIZE), str(WIDTH), str(BATCH), str(EPOCHS))[0])
        for flags, times in (([], ours), (["--no-share"], alone)):
            results, cache = tmp_path / f"r{turn}{flags}", tmp_path / f"c{turn}{flags}"
            run = [Path(sys.executable).with_name("sweep"), "run", file, *settings, *flags]
            seconds, out = timed(*run, "--results", results, "--json", cache=cache)
            assert json.loads(out)["trials"]["completed"] == 11
            times.append(seconds)
    with capsys.disabled():
        print(f"\nplain script {min(plain):.1f} s, sweep run {min(ours):.1f} s, --no-share {min(alone):.1f} s")
        print(f"ratio {min(plain) / min(ours):.2f}, without sharing {min(plain) / min(alone):.2f} (target 1.3)")
    assert min(ours) < min(plain)


def test_two_hundred_trivial_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "many.yaml"
    document = small(name="many", epochs=1, seeds=list(range(100)), schedules={"constant": {}}).document
    file.write_text(json.dumps(document))
    run = [Path(sys.executable).with_name("sweep"), "run", file, "--results", tmp_path / "r", "--json"]
    seconds, out = timed(*run, cache=tmp_path / "cache")
    assert json.loads(out)["trials"]["completed"] == 200
    with capsys.disabled():
        print(f"\n200 trivial trials, Ray's start included: {seconds:.1f} s (target 20)")
