"""Histories as training leaves them, drawn from a formula: saturating curves, seeds, noise, early ends."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from orchestrator.analysis.summary import TrialDescription

COLUMNS = pa.schema(
    [(name, pa.string()) for name in ("sweep", "trial_id", "optimizer", "schedule")]
    + [("seed", pa.int64()), ("epoch", pa.int64())]
    + [(name, pa.float64()) for name in ("loss", "accuracy", "val_loss", "val_accuracy")]
    + [(name, pa.float64()) for name in ("learning_rate", "learning_rate_end", "seconds", "images_per_second")]
    + [("epoch_key", pa.string()), ("reused", pa.bool_()), ("host", pa.string()), ("device", pa.string())]
    + [("started_at", pa.timestamp("us", tz="UTC"))]
)
STARTED = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Course:
    """How a recipe learns: towards `top` with half-way epoch `pace`, spread over seeds, ended at `stop`."""

    top: float
    pace: float
    spread: float = 0.01
    stop: int | None = None
    diverges: tuple[int, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    learning_rate: float = 0.01


def rows(trial: TrialDescription, accuracies: Sequence[float], **columns: object) -> pa.Table:
    """One trial's history with these validation accuracies, the rest plain; `columns` replace columns."""
    count = len(accuracies)
    values = np.asarray(accuracies, np.float64)
    data: dict[str, object] = {
        "sweep": ["demo"] * count,
        "trial_id": [trial.id] * count,
        "optimizer": [trial.optimizer] * count,
        "schedule": [trial.schedule] * count,
        "seed": [trial.seed] * count,
        "epoch": np.arange(count),
        "loss": 1.0 - values,
        "accuracy": values,
        "val_loss": 1.0 - values,
        "val_accuracy": values,
        "learning_rate": [trial.learning_rate] * count,
        "learning_rate_end": [trial.learning_rate] * count,
        "seconds": [2.0] * count,
        "images_per_second": [750.0] * count,
        "epoch_key": [hashlib.sha256(f"{trial.id} {n}".encode()).hexdigest() for n in range(count)],
        "reused": [False] * count,
        "host": ["node-1"] * count,
        "device": ["cpu"] * count,
        "started_at": [STARTED] * count,
    }
    return pa.table(data | columns, schema=COLUMNS)


def history(parts: Sequence[tuple[TrialDescription, Sequence[float]]]) -> tuple[pa.Table, list[TrialDescription]]:
    """The history and the trials of `parts`: each trial with its validation accuracies."""
    return pa.concat_tables([COLUMNS.empty_table(), *(rows(t, a) for t, a in parts)]), [t for t, _ in parts]


def trial(recipe: str, seed: int, epochs: int = 4, **settings: object) -> TrialDescription:
    """A planned trial from `"adam + cosine"`."""
    optimizer, schedule = recipe.split(" + ")
    return TrialDescription(f"{optimizer}-{schedule}-{seed}", optimizer, schedule, seed, epochs, 0.01, **settings)  # type: ignore[arg-type]


def worked(finals: Mapping[str, Sequence[float]], epochs: int = 4) -> tuple[pa.Table, list[TrialDescription]]:
    """Recipes with exactly these final accuracies, one a seed, each reached in a straight line from 0."""
    steps = np.arange(1, epochs + 1) / epochs
    return history(
        [
            (trial(recipe, seed, epochs), [*(final * steps[:-1]), final])
            for recipe, values in finals.items()
            for seed, final in enumerate(values)
        ]
    )


def grown(
    courses: Mapping[tuple[str, str], Course], seeds: int, epochs: int, classes: int = 2, cpus: float = 1.0
) -> tuple[pa.Table, list[TrialDescription]]:
    """A sweep as it might have run: one course a recipe, noise from a fixed generator."""
    random = np.random.default_rng(0)
    chance = 1.0 / classes
    parts, trials = [], []
    for (optimizer, schedule), course in courses.items():
        for seed in range(seeds):
            diverged = seed in course.diverges
            length = min(course.stop or epochs, epochs)
            status = "diverged" if diverged else "stopped" if length < epochs else "completed"
            reason = {
                "diverged": "loss is not a number",
                "stopped": f"val_accuracy rose by less than 0.001 in 5 epochs; best epoch {length - 5}",
            }.get(status, "")
            name = "-".join([optimizer, schedule, *course.settings.values(), str(seed)])
            planned = TrialDescription(
                name,
                optimizer,
                schedule,
                seed,
                epochs,
                course.learning_rate,
                course.settings,
                status=status,
                reason=reason,
                cpus=cpus,
            )
            t = np.arange(1, length + 1)
            top = course.top + course.spread * random.normal()
            curve = chance + (top - chance) * (1 - 0.5 ** (t / course.pace))
            measured = np.clip(curve + 0.25 * course.spread * random.normal(size=length), 0, 1)
            trained = np.clip(curve + 0.02 * t / length, 0, 1)
            loss = -np.log(np.clip(trained, 0.02, 0.999))
            val_loss = -np.log(np.clip(measured, 0.02, 0.999)) * 1.1
            if diverged:
                loss[-1] = val_loss[-1] = np.nan
                measured[-1] = chance
            parts.append(
                rows(
                    planned,
                    measured,
                    loss=loss,
                    accuracy=trained,
                    val_loss=val_loss,
                    learning_rate=course.learning_rate * SHAPES.get(schedule, np.ones_like)(t / epochs),
                    seconds=random.normal(4.0, 0.1, length),
                    reused=[schedule in ("step", "plateau") and n < 0.3 * epochs for n in range(length)],
                )
            )
            trials.append(planned)
    return pa.concat_tables(parts), trials


SHAPES = {
    "cosine": lambda x: 0.5 * (1 + np.cos(np.pi * x)),
    "linear": lambda x: 1 / (1 + 9 * x),
    "exponential": lambda x: 0.1**x,
    "power": lambda x: np.clip(1 - x, 0, 1) ** 0.8,
    "step": lambda x: 0.1 ** np.floor(3 * x),
    "sgdr": lambda x: 0.5 * (1 + np.cos(np.pi * ((4 * x) % 1))),
    "one-cycle": lambda x: np.where(x < 0.45, x / 0.45, np.clip((1 - x) / 0.55, 0.01, 1)),
}

ARTICLE = {
    ("sgd", "power"): Course(0.72, 3, 0.02),
    ("sgd", "linear"): Course(0.70, 4, 0.02),
    ("sgd", "exponential"): Course(0.75, 4, 0.02),
    ("sgd", "cosine"): Course(0.61, 3, 0.015),
    ("sgd", "constant"): Course(0.75, 6, 0.02, learning_rate=0.01),
    ("sgd-nesterov", "constant"): Course(0.93, 5, 0.01),
    ("sgd-small", "constant"): Course(0.61, 9, 0.02, learning_rate=0.0001),
    ("rmsprop", "constant"): Course(0.93, 4, 0.02, learning_rate=0.0001),
    ("adam", "constant"): Course(0.94, 3.5, 0.008, stop=28, learning_rate=0.0001),
    ("sgd", "sgdr"): Course(0.76, 6, 0.02),
    ("sgd", "one-cycle"): Course(0.93, 8, 0.01, learning_rate=0.1),
    ("sgd", "range-test"): Course(0.80, 9, 0.05, stop=31, diverges=(0, 1, 2), learning_rate=1e-7),
}
PUBLISHED = {
    ("sgd", "linear", ()): {"val_accuracy": 0.70, "val_loss": 0.5},
    ("sgd", "exponential", ()): {"val_accuracy": 0.75, "val_loss": 0.52},
    ("sgd", "cosine", ()): {"val_accuracy": 0.61, "val_loss": 0.6},
    ("sgd", "constant", ()): {"val_accuracy": 0.75, "val_loss": 0.5},
    ("sgd-nesterov", "constant", ()): {"val_accuracy": 0.93, "val_loss": 0.2},
    ("adam", "constant", ()): {"val_accuracy": 0.94, "val_loss": 0.2},
}

OPTIMIZERS = (
    *("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"),
    *("nadam", "adamax", "adagrad", "adadelta", "lamb", "lion"),
)
SCHEDULES = (
    *("constant", "power", "linear", "exponential", "cosine", "sgdr"),
    *("one-cycle", "step", "piecewise", "plateau", "polynomial", "warm-cosine"),
)


def article(seeds: int = 3, epochs: int = 36) -> tuple[pa.Table, list[TrialDescription]]:
    """The twelve recipes of the article, three seeds; the range test diverges as it should."""
    return grown(ARTICLE, seeds, epochs, cpus=1.0)


def square(side: int = 12, seeds: int = 3, epochs: int = 20) -> tuple[pa.Table, list[TrialDescription]]:
    """A full grid of `side` optimizers x `side` schedules on ten classes."""
    quality = np.random.default_rng(1)
    good = quality.uniform(0.3, 0.95, side)
    helps = quality.uniform(-0.05, 0.05, side)
    courses = {
        (o, s): Course(
            float(np.clip(good[i] + helps[j] + quality.normal() * 0.02, 0.12, 0.985)),
            float(quality.uniform(1, 8)),
            0.01,
            stop=12 if (i + j) % 29 == 3 else None,
            diverges=(1,) if (i, j) == (2, 6) else (),
        )
        for i, o in enumerate(OPTIMIZERS[:side])
        for j, s in enumerate(SCHEDULES[:side])
    }
    return grown(courses, seeds, epochs, classes=10)
