"""Small sweeps, their files, and plain pictures to train on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from orchestrator.spec import sweep
from orchestrator.spec.sweep import Sweep


def small(**changes: Any) -> Sweep:
    """A sweep of two optimizers, two schedules and two seeds with a trainer that takes no time."""
    document: dict[str, Any] = {
        "name": "small",
        "data": {"name": "digits", "image_size": 32},
        "model": {"width": 0.0625},
        "batch_size": 64,
        "epochs": 4,
        "seeds": [0, 1],
        "optimizers": {"sgd": {"class": "SGD", "learning_rate": 0.01}, "adam": {"class": "Adam"}},
        "schedules": {"constant": {}, "cosine": {}},
        "trainer": "tests.support.fakes:VectorTrainer",
    }
    return sweep.from_document({**document, **changes})


def written(folder: Path, **changes: Any) -> Path:
    """A small sweep file with changes."""
    path = folder / "small.yaml"
    path.write_text(json.dumps(small(**changes).document))
    return path


def photos(folder: Path, names: Sequence[str]) -> Path:
    """A folder of plain pictures."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (number * 20 % 255, 90, 30)).save(path)
    return folder
