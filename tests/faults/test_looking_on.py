"""Looking at a store that another process keeps changing: an answer each time, whatever is replaced meanwhile."""

import json
import multiprocessing
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from orchestrator.planning import plan
from orchestrator.storage.store import Store
from tests.support import engine
from tests.support.command import command
from tests.support.sweeps import small, written

LOOKS = (
    ("status",),
    ("status", "--json"),
    ("status", "--timeline"),
    ("status", "--json", "--timeline"),
    ("plan", "--json"),
    ("report", "--json"),
)
ROUNDS = 12
OTHER = {"batch_size": 32}
"""Other settings of the same trials: their histories are superseded, and so are those that supersede them."""


def restless(results: Path) -> None:
    """Run the sweep as it is and with other settings in turn, merge its histories, and tear what may be torn."""
    for number in count():
        here = Store.at(str(results), compact_above=1)
        engine.run(small(**(OTHER if number % 2 else {})), here)
        for size in range(1, 12):
            for trial_id, rows in here.history("small")[0].items():
                here.write_model("small", trial_id, b"weights" * size, rows.to_pylist()[-1])
        for made in (results / "small").glob("models/*"):
            made.unlink()
        state = results / "small" / "run.json"
        content = state.read_bytes()
        for length in (0, 1, len(content) // 2, len(content) - 1):
            state.write_bytes(content[:length])
        state.unlink()
        engine.run(small(epochs=6), here)
        with here.lock("small"):
            made_plan = plan.make(small(epochs=6), here)
            for trial_id, rows in made_plan.history.items():
                here.supersede("small", trial_id, rows)


@pytest.fixture
def changing(memory: Path) -> Iterator[Path]:
    """A store that a process changes for as long as the test lasts."""
    results = memory / "r"
    engine.run(small(), Store.at(str(results)))
    process = multiprocessing.get_context("spawn").Process(target=restless, args=(results,), daemon=True)
    process.start()
    until = time.monotonic() + 60
    while not (results / "small" / "superseded").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    yield results
    assert process.is_alive()
    process.kill()
    process.join()


def test_every_look_has_an_answer(changing: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path)
    for _ in range(ROUNDS):
        for verb, *options in LOOKS:
            code, out, err = command(verb, file, "--results", changing, *options, capture=capsys)
            assert (code, err) == (0, ""), (verb, options)
            if "--json" in options:
                json.loads(out)
