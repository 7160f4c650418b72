"""Training that begins in one process and ends in another, which is `python -m tests.support.elsewhere FOLDER`."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.training.trainer import Job
from tests.support.tiny import job, momenta, rates, trainer

CASES: dict[str, Job] = {
    "cycled": replace(job({"class": "SGD", "momentum": 0.9, "nesterov": True}), cycles_momentum=True),
    "adam": job({"class": "Adam"}),
    "momentum": job({"class": "SGD", "momentum": 0.9}),
    "test set": job({"class": "Adam", "use_ema": True}, test=0.25),
    "half": job({"class": "Adam", "use_ema": True}, precision="mixed_float16"),
    # Three steps an epoch: after two epochs the accumulation and the average are both under way.
    "everything": job(
        {
            "class": "AdamW",
            "clipnorm": 1.0,
            "use_ema": True,
            "ema_overwrite_frequency": 5,
            "gradient_accumulation_steps": 4,
        },
        augmentation={"horizontal_flip": True, "shift": 2},
        head="classic",
    ),
}

Metrics = list[dict[str, float]]


def train(epochs: range, cycles: bool = False) -> Metrics:
    """These epochs of the job that is under way."""
    if not cycles:
        return [trainer().epoch(n, rates(0.001)) for n in epochs]
    return [trainer().epoch(n, rates(0.001), momenta(0.5 + n / 10, 0.9)) for n in epochs]


def read(path: Path) -> dict[str, NDArray[Any]]:
    """The state in `path`."""
    with np.load(path) as arrays:
        return dict(arrays)


def main(folder: Path) -> None:
    """Go on with every case after two epochs; begin one of them from nothing."""
    warm = trainer()
    metrics: dict[str, Metrics] = {}
    for name, case in CASES.items():
        warm.reset(case)
        warm.restore(read(folder / f"{name}-before.npz"))
        metrics[name] = train(range(2, 4), case.cycles_momentum)
        np.savez(folder / f"{name}-after.npz", **warm.state())
    warm.reset(CASES["everything"])
    metrics["fresh"] = train(range(1))
    np.savez(folder / "fresh-after.npz", **warm.state())
    (folder / "metrics.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
