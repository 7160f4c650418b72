"""The sweeps whose keys are written down: those that are shipped, and small ones for what they leave out."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.golden import facts_fixed as facts

KEYS = Path(__file__).with_name("keys.json")
SHIPPED = Path(__file__).parents[2] / "experiments"
SGD = {"class": "SGD", "learning_rate": 0.01, "momentum": 0.9}


def small(**changes: Any) -> dict[str, Any]:
    """One recipe on the digits, with changes."""
    document = {
        "name": "small",
        "data": {"name": "digits", "image_size": 32},
        "model": {"name": "vgg11", "width": 0.125},
        "batch_size": 64,
        "epochs": 5,
        "seeds": [3],
        "optimizers": {"sgd": SGD},
        "schedules": {"cosine": {}},
    }
    return {**document, **changes}


PHOTOS = {"name": "images", "path": "photos", "image_size": 224}
LAYERS = {"name": "vgg16", "head": "classic", "dropout": 0.25, "initializer": "he_uniform"}
WITHOUT_TEST: Mapping[str, Mapping[str, Any]] = {
    "quickstart": {"data.test": 0},
    "modelarts": {"data.test": 0, "data.validation": 0.25},
    "full-grid": {"data.test": 0},
}
"""The shipped sweeps, and how each was before it had a test set."""


def _shipped() -> Iterator[tuple[str, tuple[facts.Source, facts.Machine]]]:
    for name, overrides in WITHOUT_TEST.items():
        file = SHIPPED / f"{name}.yaml"
        yield name, (facts.Overridden(file, overrides), facts.GOLDEN)
        yield f"{name} with a test set", (file, facts.GOLDEN)


SOURCES: Mapping[str, tuple[facts.Source, facts.Machine]] = {
    **dict(_shipped()),
    "own trainer": (
        small(
            trainer="tests.golden.plain_trainer:PlainTrainer",
            resources={"hardware": "any", "cpus_per_trial": 2},
            schedules={"one-cycle": {"momentum": {"low": 0.8, "high": 0.9}}},
        ),
        facts.GOLDEN,
    ),
    "own trainer with a test set": (
        small(
            trainer="tests.golden.plain_trainer:PlainTrainer",
            resources={"hardware": "any", "cpus_per_trial": 2},
            data={"name": "digits", "image_size": 32, "test": 0.15},
        ),
        facts.GOLDEN,
    ),
    "cycled momentum": (
        small(
            optimizers={"sgd": SGD, "adam": {"class": "Adam"}, "nadam": {"class": "Nadam"}},
            schedules={"one-cycle": {"momentum": {}}, "constant": {}},
        ),
        facts.GOLDEN,
    ),
    "full batch": (small(batch_size="full"), facts.GOLDEN),
    "large batch of photos": (small(data=PHOTOS, batch_size=512, model={"name": "vgg16"}), facts.GOLDEN),
    "mixed precision": (small(grid={"precision": ["mixed_bfloat16", "mixed_float16"]}), facts.GOLDEN),
    "GPU": (
        small(resources={"gpus_per_trial": 0.5}, grid={"deterministic": [True, False]}),
        facts.GOLDEN,
    ),
    "rules": (
        small(
            early_stopping={"monitor": "val_loss", "min_delta": 0.001, "patience": 2},
            reduce_on_plateau={"monitor": "val_loss", "factor": 0.5, "patience": 2},
        ),
        facts.GOLDEN,
    ),
    "grid axes": (
        small(
            seeds=[0, 1],
            grid={"model.width": [0.125, 0.25], "batch_size": [32, 64], "optimizers.sgd.momentum": [0, 0.5]},
        ),
        facts.GOLDEN,
    ),
    "peaks to be found": (small(optimizers={"sgd": {**SGD, "learning_rate": "auto"}}), facts.GOLDEN),
    "settings of data and model": (
        small(
            data={
                **PHOTOS,
                "validation": 0.2,
                "limit": 500,
                "split_seed": 7,
                "augmentation": {"horizontal_flip": True, "shift": 2},
            },
            model=LAYERS,
        ),
        facts.GOLDEN,
    ),
    "settings of optimizers": (
        small(
            optimizers={
                "decayed": {**SGD, "decay": 1e-6, "weight_decay": 0.01, "clipnorm": 1.0, "use_ema": True},
                "adamw": {"class": "AdamW", "weight_decay": 0},
                "muon": {"class": "Muon", "exclude_layers": ["dense", "block"]},
            },
            schedules={"linear": {"peak": 0.002, "by": "epoch", "warmup": {"epochs": 2, "start": 0.1}}},
        ),
        facts.GOLDEN,
    ),
    "jax": (small(optimizers={"sgd": SGD, "adamw": {"class": "AdamW", "weight_decay": 0}}), facts.ON_JAX),
    "a variable of the environment": (small(), facts.Machine(environment={"TF_ENABLE_ONEDNN_OPTS": "0"})),
}


def flat(facts_of_key: Any, name: str = "") -> dict[str, str]:
    """Nested facts as one level: dotted name to JSON text, in which 1 and 1.0 are two things, as in a key."""
    if not isinstance(facts_of_key, Mapping) or not facts_of_key:
        return {name: json.dumps(facts_of_key)}
    result: dict[str, str] = {}
    for key, value in facts_of_key.items():
        result |= flat(value, f"{name}.{key}" if name else key)
    return result
