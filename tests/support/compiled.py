"""jax in a process of its own: `python -m tests.support.compiled CACHE WHAT [BYTES]`.

WHAT is "training" or "little". It prints as JSON the outcome to the bit, and how many programs were loaded
from below CACHE and kept there. No file can grow beyond BYTES, as on a disk that is full.
"""

import hashlib
import json
import os
import resource
import sys
from collections import Counter
from pathlib import Path

import numpy as np


def training(cache: Path) -> str:
    """Two epochs of a network; the sha256 of its metrics and its state."""
    from experiments.training.trainer import Trainer
    from tests.support.tiny import job

    trainer = Trainer(threads=1, cache=cache)
    trainer.reset(job({"class": "SGD", "momentum": 0.9, "use_ema": True}))
    rates = np.full(trainer.steps, 0.01, np.float32)
    digest = hashlib.sha256(json.dumps([trainer.epoch(n, rates) for n in range(2)]).encode())
    for name, value in sorted(trainer.state().items()):
        digest.update(name.encode() + value.tobytes())
    return digest.hexdigest()


def little(cache: Path) -> str:
    """The sum of a product, which takes no time to compile."""
    from experiments.training.backends import compile_cache

    compile_cache.use(cache, threads=1)
    import jax

    matrix = np.linspace(0, 1, 10000, dtype=np.float32).reshape(100, 100)
    return np.asarray(jax.jit(lambda x: ((x @ x).sum(), x.T @ x))(matrix)[0]).tobytes().hex()


def main(cache: Path, what: str, longest: str = "") -> None:
    """Compute, count, print."""
    os.environ["KERAS_BACKEND"] = "jax"
    from jax import monitoring

    events: Counter[str] = Counter()
    monitoring.register_event_listener(lambda event, **_: events.update([event.rpartition("/")[2]]))
    if longest:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(longest), int(longest)))
    outcome = {"training": training, "little": little}[what](cache)
    kept = sum(path.stat().st_size > 0 for path in cache.glob("jax/*/*-cache")) if cache.is_dir() else 0
    print(json.dumps({"outcome": outcome, "loaded": events["cache_hits"], "kept": kept}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
