"""The command line in surroundings that nobody planned for: no home, a closed stdout, a narrow terminal."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.storage.store import Store
from tests.support import engine
from tests.support.command import ROOT, command
from tests.support.sweeps import small, written

HIDING = """
import sys
from importlib.machinery import PathFinder

class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] == "tensorflow" else super().find_spec(name, path, target)

    @classmethod
    def find_distributions(cls, *arguments, **options):
        return (d for d in super().find_distributions(*arguments, **options) if d.name != "tensorflow")

sys.meta_path = [Hiding if finder is PathFinder else finder for finder in sys.meta_path]
from orchestrator.cli.main import main
main()
"""


def process(*arguments: str | Path, program: str = "", shell: str = "", **variables: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `sweep` in a process of its own, its command followed by `shell`."""
    start = ["-c", program] if program else ["-m", "orchestrator.cli"]
    line = ["sh", "-c", f'"$@" {shell}', "sh", sys.executable, *start, *map(str, arguments)]
    environment = {**os.environ, **variables}
    done = subprocess.run(
        line, capture_output=True, text=True, cwd=ROOT, env=environment, check=False, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("verb", ["plan", "run", "lr-find", "doctor"])
@pytest.mark.parametrize("backend", ["torch", "", "tensorflo", "TensorFlow"])
def test_a_backend_that_there_is_not_is_a_sentence(
    verb: str, backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", backend)
    code, out, err = command(verb, written(tmp_path), "--results", tmp_path / "r", capture=capsys)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: KERAS_BACKEND: unknown backend {backend!r}; ")
    assert err.count("\n") == 1
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("verb", ["plan", "run", "lr-find", "doctor"])
def test_a_backend_that_is_not_installed_is_a_sentence(verb: str, tmp_path: Path) -> None:
    file = written(tmp_path)
    code, out, err = process(verb, file, "--results", tmp_path / "r", program=HIDING, KERAS_BACKEND="tensorflow")
    assert (code, out) == (2, ""), err
    assert err.startswith("error: KERAS_BACKEND: tensorflow needs tensorflow, which is not installed")
    assert err.count("\n") == 1


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_cache_that_is_a_file_is_a_sentence(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path)
    monkeypatch.setenv("SWEEP_CACHE", str(file))
    code, out, err = command(verb, file, "--results", tmp_path / "r", capture=capsys)
    assert (code, out) == (2, "")
    assert err == f"error: SWEEP_CACHE: expected a folder for decoded images, got the file {file}\n"


@pytest.mark.parametrize(
    ("folder", "reason"), [("/proc/nothing", "No such file or directory"), ("{tmp}/loop", "Too many levels")]
)
def test_a_cache_that_cannot_be_written_ends_a_run_and_no_plan(
    folder: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.delenv("SWEEP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", folder.replace("{tmp}", str(tmp_path)))
    file = written(tmp_path)
    assert command("plan", file, "--results", tmp_path / "r", capture=capsys)[0] == 0
    code, out, err = command("run", file, "--results", tmp_path / "r", capture=capsys)
    assert (code, out) == (2, "")
    assert err.startswith("error: data: cannot keep decoded images in ")
    assert reason in err
    assert err.endswith("; set SWEEP_CACHE to a folder that can be written\n")


def test_a_user_without_a_home_is_told_what_to_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(number: int) -> None:
        raise KeyError(number)

    for name in ("HOME", "SWEEP_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    code, out, err = command("plan", written(tmp_path), "--results", tmp_path / "r", capture=capsys)
    assert (code, out) == (2, "")
    assert err.startswith("error: SWEEP_CACHE: no folder for decoded images: Could not determine home directory")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that has run, and its file beside it."""
    place = tmp_path_factory.mktemp("run")
    written(place)
    engine.run(small(), Store.at(str(place / "r")))
    return place


@pytest.mark.parametrize(
    ("shell", "code"),
    [
        ("| head -c 1", 0),
        ("> /dev/full", 2),
        (">&-", 0),
        ("2>&-", 0),
        ("< /dev/null", 0),
        (">&- 2>&- <&-", 0),
    ],
)
def test_a_stdout_that_takes_nothing_is_no_traceback(shell: str, code: int, results: Path) -> None:
    # The exit code of a pipe is that of head, so the shell prints the command's.
    shell_text = shell.replace("|", "; echo $? >&2; } |") if "|" in shell else shell
    line = f'{{ "$@" {shell_text}' if "|" in shell else f'"$@" {shell_text}'
    sweep = [sys.executable, "-m", "orchestrator.cli", "report", str(results / "small.yaml"), "--full"]
    done = subprocess.run(
        ["bash", "-c", line, "sh", *sweep, "--format", "html", "--results", str(results / "r")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=120,
    )
    words = done.stderr.split()
    assert (int(words.pop()) if "|" in shell else done.returncode) == code
    assert not {"Traceback", "Exception", "ignored"} & set(words)
    assert "".join(words).startswith("error:stdout:Nospaceleft" if code else "")


@pytest.mark.parametrize("verb", ["plan", "status", "report", "doctor"])
@pytest.mark.parametrize(
    "variables",
    [
        {"COLUMNS": "20"},
        {"COLUMNS": "1"},
        {"COLUMNS": "0"},
        {"COLUMNS": "-7"},
        {"COLUMNS": "wide", "LINES": "1"},
        {"COLUMNS": "5000"},
        {"TERM": "dumb"},
        {"TERM": ""},
        {"NO_COLOR": "1", "FORCE_COLOR": "1"},
    ],
    ids=str,
)
def test_a_terminal_of_any_kind_is_written_to(
    verb: str,
    variables: dict[str, str],
    results: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    options = {"report": ["--full"], "plan": ["--curves"], "status": ["--timeline"]}.get(verb, [])
    code, out, _ = command(verb, results / "small.yaml", "--results", results / "r", *options, capture=capsys)
    assert code == (0 if verb != "doctor" else code)
    assert out.strip()


def test_letters_that_a_terminal_has_not_are_written_as_numbers(results: Path) -> None:
    arguments = ("plan", results / "small.yaml", "--results", results / "r")
    code, out, err = process(*arguments, LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (code, err) == (0, "")
    assert out.isascii()
    assert "\\u2588" in out
