"""Makes the stores that are kept here, on Linux: python -m tests.golden.write_stores FOLDER, in the root.

Only for the version of the code whose stores are to be kept, and into a new folder: a store that is written again
by newer code proves nothing. FOLDER and the host's name stand in the stores: choose some that tell nothing. How
far the half-way store is differs from one time to the next, for a plug is pulled; `stores.json` says how far.
Histories are merged above three files, where it takes hundreds otherwise.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.golden import facts_fixed as facts
from tests.support.processes import kill_all

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
ENDLESS = 120.0


def started(
    name: str, results: Path, *overrides: str, recorded: bool = False, **variables: str
) -> subprocess.Popen[str]:
    """A run of the sweep file `name` in a process of its own, on the machine that it takes itself for."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    how = "recorded" if recorded else "golden"
    arguments = [f"tests/golden/sweeps/{name}.yaml", str(results), *overrides]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.golden.write_stores", f"--{how}", *arguments],
        cwd=ROOT,
        env=environment,
        text=True,
        start_new_session=True,
    )


def write_finished(results: Path) -> None:
    """Two runs to the end; the histories of the first are superseded, those of the second merged."""
    for overrides in (("optimizers.rmsprop.learning_rate=0.01",), ()):
        assert started("finished", results, *overrides).wait() == 0


def write_half_way(results: Path) -> None:
    """Two epochs in which adam fails; then its newest checkpoint is damaged, and a slow run is killed."""
    assert started("half-way", results, "epochs=2", GOLDEN_FAILS="Adam").wait() == 1
    (damaged,) = [
        path
        for path in (results / "checkpoints").glob("*.safetensors")
        if path.stem == last_key(results, "half-way", "momentum-constant-s0")
    ]
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    before = facts.known_epochs(results)
    run = started("half-way", results, GOLDEN_FAILS="Adam", GOLDEN_PACE="0.3")
    until = time.monotonic() + ENDLESS
    while facts.known_epochs(results) < before + 30 or not facts.held(results, "half-way")["notes"]:
        assert run.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    kill_all(run)


def last_key(results: Path, name: str, trial: str) -> str:
    """The key of a trial's newest epoch."""
    key: str = [row for row in facts.history(results, name) if row["trial_id"] == trial][-1]["epoch_key"]
    return key


def write_built_in(results: Path) -> None:
    """A run to the end, with what this machine is in its keys."""
    assert started("built-in", results, recorded=True).wait() == 0


def write(folder: Path) -> None:
    """All stores, and beside them what is in them."""
    write_finished(folder / "finished")
    write_half_way(folder / "half-way")
    write_built_in(folder / "built-in")
    described = {}
    machine = facts.this_machine()
    for name, of in (("finished", facts.GOLDEN), ("half-way", facts.GOLDEN), ("built-in", machine)):
        with facts.fixed(of):
            made = facts.planned(facts.loaded(FOLDER / "sweeps" / f"{name}.yaml"), folder / name)
        described[name] = {"epochs": facts.counts(made), "held": facts.held(folder / name, name)}
    described["built-in"]["machine"] = facts.as_json(machine)
    (folder / "stores.json").write_text(json.dumps(described, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    if sys.argv[1] in ("--golden", "--recorded"):
        _, which, sweep_file, results_folder, *changes = sys.argv
        machine_of_keys = facts.GOLDEN if which == "--golden" else facts.this_machine()
        outcome = facts.run(Path(sweep_file), Path(results_folder), *changes, machine=machine_of_keys)
        sys.exit(1 if outcome.failed else 0)
    else:
        write(Path(sys.argv[1]))
