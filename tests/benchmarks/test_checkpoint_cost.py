"""What keeping an epoch costs against training it: VGG16 of width 0.25 at 32 px, Adam; `pytest -m benchmark`."""

import json
import statistics
import time
from pathlib import Path

import pytest

from experiments import environment
from orchestrator.planning import plan
from orchestrator.storage.store import Store
from tests.support import engine
from tests.support.rows import row
from tests.support.sweeps import small

IMAGES = 10_000
LIMIT = 0.05


def measure(results: Path, report: Path) -> None:
    """Train some epochs and keep each: seconds a trained image, seconds a kept epoch, bytes a checkpoint."""
    from experiments.training.trainer import Job, Trainer

    sweep = small(model={"width": 0.25}, optimizers={"adam": {"class": "Adam"}}, epochs=40, batch_size=64)
    store = Store.at(str(results))
    made = plan.make(sweep, store)
    trial = made.trials[0]
    settings, chain = trial.recipe.settings, made.cursors[trial.id].chain
    trainer = Trainer(threads=1, cache=environment.cache_folder())
    trainer.reset(
        Job(
            data=settings.data,
            model=settings.model,
            optimizer=trial.recipe.optimizer,
            batch_size=settings.batch_size,
            seed=0,
            precision=settings.precision,
            deterministic=settings.deterministic,
        )
    )
    image, kept, size = [], [], 0
    for epoch in range(4):
        began = time.perf_counter()
        images = trainer.epoch(epoch, chain.table[epoch])["images"]
        trained = time.perf_counter()
        size = store.checkpoints.write(f"{epoch:064x}", trainer.state())
        store.write_history("small", trial.id, [row(trial.id, n) for n in range(40)])
        kept.append(time.perf_counter() - trained)
        image.append((trained - began) / images)
    report.write_text(json.dumps([min(image), statistics.median(kept), size]))


@pytest.mark.benchmark
def test_keeping_an_epoch(tmp_path: Path) -> None:
    process = engine.PROCESSES.Process(target=measure, args=(tmp_path / "results", tmp_path / "report"))
    process.start()
    process.join()
    image, kept, size = json.loads((tmp_path / "report").read_text())
    ratio = kept / (image * IMAGES)
    print(
        f"\nan epoch of {IMAGES} images {image * IMAGES:.1f} s ({1 / image:.0f} images/s), keeping it "
        f"{kept * 1e3:.0f} ms ({size / 1e6:.1f} MB): {ratio:.2%}"
    )
    assert ratio < LIMIT
