"""What a range test of 200 steps costs against 200 plain training steps: `pytest -m benchmark -s`."""

import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from experiments import environment
from experiments.lr_range_test import RangeTest
from experiments.training.trainer import Trainer
from orchestrator.execution.trainers import job_of
from orchestrator.spec.trials import trials
from tests.support.sweeps import small


@pytest.mark.benchmark
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_a_range_test_costs_little_more_than_its_steps(optimizer: str, tmp_path: Path) -> None:
    chosen = {"class": optimizer, "learning_rate": 0.001}
    sweep = small(model={"width": 0.25, "initializer": "he_uniform"}, optimizers={"it": chosen}, batch_size=16)
    job = job_of(trials(sweep)[0].recipe, 0, None)
    # Validation belongs to an epoch, not to its steps: as little of it as there can be.
    job = replace(job, data=replace(job.data, validation=0.02))
    trainer = Trainer(threads=1, cache=environment.cache_folder())
    # A ramp that learns nothing and leaves no bounds, so that all of it is run.
    ramp = RangeTest(start=1e-7, end=1e-5, steps=200).learning_rates()
    plain, tested = [], []
    for _ in range(4):
        trainer.reset(job)
        began = time.perf_counter()
        done = 0
        for n in range(-(-200 // trainer.steps)):
            trainer.epoch(n, np.full(trainer.steps, 1e-6, np.float32))
            done += trainer.steps
        plain.append((time.perf_counter() - began) * 200 / done)
        trainer.reset(job)
        began = time.perf_counter()
        assert len(trainer.range_test(ramp)) == 200
        tested.append(time.perf_counter() - began)
    steps, test = median(plain[1:]), median(tested[1:])
    print(f"\n{optimizer}: 200 plain steps {steps:.2f} s, range test {test:.2f} s: {test / steps:.2f}")
    assert test / steps < 1.2
