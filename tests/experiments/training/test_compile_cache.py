"""jax's compile cache: it changes no bit, and whatever becomes of it costs time at most."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import ROOT


def compiled(cache: Path, what: str, *longest: int) -> Any:
    """What a new process says of `what` (see tests.support.compiled); it has said nothing else."""
    command = [sys.executable, "-m", "tests.support.compiled", str(cache), what, *map(str, longest)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def entries(cache: Path) -> list[Path]:
    """The files that hold programs."""
    return sorted(cache.glob("jax/*/*-cache"))


def test_a_program_that_is_loaded_computes_the_same_bits_as_the_one_that_was_compiled(tmp_path: Path) -> None:
    cold = compiled(tmp_path, "training")
    warm = compiled(tmp_path, "training")
    assert cold["loaded"] == 0
    assert warm["loaded"] == warm["kept"] == cold["kept"] > 2
    assert warm["outcome"] == cold["outcome"]


def test_two_processes_at_once_share_a_cache(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: compiled(tmp_path, "little"), range(2)))
    after = compiled(tmp_path, "little")
    assert {each["outcome"] for each in [*both, after]} == {after["outcome"]}
    assert after["loaded"] == after["kept"] == 1


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-9] + b"123456789"])
def test_a_damaged_entry_is_compiled_again(tmp_path: Path, damage: Any) -> None:
    good = compiled(tmp_path, "little")
    (entry,) = entries(tmp_path)
    entry.write_bytes(damage(entry.read_bytes()))
    again = compiled(tmp_path, "little")
    assert (again["loaded"], again["outcome"]) == (0, good["outcome"])


def test_a_full_disk_stops_nothing_and_leaves_nothing_behind_that_does_harm(tmp_path: Path) -> None:
    full = compiled(tmp_path, "little", 1000)
    (half,) = entries(tmp_path)
    assert half.stat().st_size == 1000
    after = compiled(tmp_path, "little")
    assert half.stat().st_size > 1000
    warm = compiled(tmp_path, "little")
    assert (full["loaded"], after["loaded"], warm["loaded"]) == (0, 0, 1)
    assert full["outcome"] == after["outcome"] == warm["outcome"]


def test_a_folder_that_cannot_be_used_or_that_others_may_write_to_is_left_alone(tmp_path: Path) -> None:
    usual = compiled(tmp_path / "usual", "little")
    (tmp_path / "file").touch()
    assert compiled(tmp_path / "file", "little")["outcome"] == usual["outcome"]
    (folder,) = (tmp_path / "usual" / "jax").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert compiled(tmp_path / "usual", "little")["loaded"] == 0
    folder.chmod(0o755)
    assert compiled(tmp_path / "usual", "little")["loaded"] == 1
