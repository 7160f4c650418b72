"""Every verb against values that nobody means to give: a sentence, exit code 2, and nothing half done."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.storage.store import Store
from tests.support import engine
from tests.support.command import command
from tests.support.sweeps import small, written

LONG = "x" * 300
NO_TEXT = "\udcff"
"""An argument with a byte that is no UTF-8, as Python has it."""
ON_A_FILE = ("plan", "run", "status", "report", "lr-find", "clean", "doctor", "submit", "stop")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A sweep file `s.yaml`, its results in `r`, and beside them all that can stand where a file should."""
    place = tmp_path_factory.mktemp("h")
    shutil.move(written(place), place / "s.yaml")
    engine.run(small(epochs=1), Store.at(str(place / "r")))
    (place / "empty").touch()
    (place / "binary").write_bytes(bytes(range(256)))
    (place / "zeros").write_bytes(bytes(8))
    (place / "endless").symlink_to("/dev/zero")
    (place / "nothing").symlink_to("/dev/null")
    (place / "full").symlink_to("/dev/full")
    (place / "loop").symlink_to("loop")
    (place / "dangling").symlink_to("nowhere")
    (place / "list").write_text("- 1\n")
    (place / "folder").mkdir()
    os.mkfifo(place / "pipe")
    before, environment = Path.cwd(), dict(os.environ)
    os.chdir(place)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        yield place
    os.chdir(before)
    if "RAY_AUTH_MODE" not in environment:  # which submit and stop set for their process
        os.environ.pop("RAY_AUTH_MODE", None)


FILES = {
    "empty": "expected a mapping of settings, got nothing",
    "pipe": "expected a mapping of settings, got nothing",
    "nothing": "expected a mapping of settings, got nothing",
    "binary": "expected a YAML text file, got binary data",
    "zeros": "not valid YAML: unacceptable character #x0000",
    "endless": "expected at most 1,000,000 characters, got more",
    "folder": "cannot be read: Is a directory",
    "socket": "cannot be read: No such device or address",
    "loop": "cannot be read: Too many levels of symbolic links",
    "list": "expected a mapping of settings, got list",
    "dangling": "no such sweep file",
    "s.yaml/x": "cannot be read: Not a directory",
    LONG: "cannot be read: File name too long",
    NO_TEXT: "no such sweep file",
}
NO_FILE = {
    "": "--output: expected ",
    " ": "--output: expected ",
    "folder": "--output folder: is a folder, expected a file",
    "/": "--output /: is a folder, expected a file",
    "..": "--output ..: is a folder, expected a file",
    "s.yaml/x": "s.yaml is a file, expected a folder",
    "s.yaml/x/y": "s.yaml is a file, expected a folder",
    "/proc/no/way": "--output /proc/no/way: cannot be written (No such file or directory)",
    "full": "--output full: cannot be written (No space left on device)",
    "socket": "--output socket: cannot be written (No such device or address)",
    "loop": "--output loop: cannot be written (Symlink loop",
    "loop/x": "--output loop/x: cannot be written (Symlink loop",
    "~nobody-of-that-name/x": "--output: expected a path, got '~nobody-of-that-name/x', and",
    LONG: "cannot be written (File name too long)",
}
NO_FOLDER = {
    "": ": expected ",
    "s.yaml": " s.yaml: is a file, expected a folder",
    "s.yaml/x": "s.yaml is a file, expected a folder",
    "nothing": " nothing: is a file, expected a folder",
    "pipe": " pipe: is a file, expected a folder",
    "loop": " loop: cannot be written (Symlink loop",
    LONG: "cannot be written (File name too long)",
}
NO_PICTURE = {f"{path}.svg": message for path, message in NO_FILE.items() if path in (LONG, "s.yaml/x")} | {
    "folder": "expected FILE.svg or FILE.png, got folder",
    "curves.gif": "expected FILE.svg or FILE.png",
    "": "--output: expected FILE, got ''",
}
NO_TARGET = {
    "nan": "target: expected a validation accuracy between 0 and 1, got nan",
    "inf": "target: expected a validation accuracy between 0 and 1, got inf",
    "-inf": "got -inf",
    "-0.1": "got -0.1",
    "1.01": "got 1.01",
    "1e999": "got inf",
    "high": "'high' is not a valid float",
    "": "'' is not a valid float",
}
NO_ADDRESS = {
    "": "--address: expected ",
    "127.0.0.1:1": "--address 127.0.0.1:1: no ",
    "nobody.invalid:99999999": "--address nobody.invalid:99999999: no ",
    ":1": "--address :1: no ",
    "a" * 80 + ":1": "aaa:1: no ",
    "ray://x:1": "--address ray://x:1: a Ray Client's address",
}
NO_SERVER = {
    "": "--address: expected ",
    "nonsense": "--address nonsense: expected the job server's address",
    "127.0.0.1:8265": "--address 127.0.0.1:8265: expected the job server's address",
    "http://": "--address http://: no job server of Ray's answers there",
    "http://127.0.0.1:1": "--address http://127.0.0.1:1: no job server of Ray's answers there",
    f"http://{'a' * 80}": "no job server of Ray's answers there",
}
NO_CLUSTER = {
    "folder": "--cluster folder: cannot be read (Is a directory)",
    "pipe": "--cluster pipe: expected a file for `ray up`",
    "empty": "--cluster empty: expected a file for `ray up`",
    "s.yaml": "--cluster s.yaml: expected a file for `ray up`",
    "binary": "--cluster binary: cannot be read (it is no text)",
    "endless": "--cluster endless: no YAML: unacceptable character",
    "loop": "--cluster loop: cannot be read (Too many levels of symbolic links)",
    LONG: "cannot be read (File name too long)",
}
RESULTS = ("--results", "r")
TABLE: list[tuple[tuple[str, ...], str]] = [
    *((("plan", file), message) for file, message in FILES.items()),
    *(
        ((verb, file), FILES[file])
        for verb in ON_A_FILE[1:]
        for file in ("folder", "pipe", "endless", LONG, NO_TEXT)
    ),
    *((("plan", "s.yaml", *RESULTS, "--output", path), message) for path, message in NO_FILE.items()),
    *((("report", "s.yaml", *RESULTS, "--output", path), message) for path, message in NO_FILE.items()),
    *(
        (("report", "s.yaml", *RESULTS, "--format", kind, "--output", path), message)
        for kind in ("png", "parquet", "csv")
        for path, message in NO_FOLDER.items()
        if kind != "csv" or path != "s.yaml"  # with a suffix it is the name of a file
    ),
    *((("lr-find", "s.yaml", *RESULTS, "--output", path), message) for path, message in NO_PICTURE.items()),
    *((("run", "s.yaml", *RESULTS, "--tensorboard", path), message) for path, message in NO_FOLDER.items()),
    *((("report", "s.yaml", *RESULTS, "--target", text), message) for text, message in NO_TARGET.items()),
    (("report", "s.yaml", *RESULTS, "-S", "monitor=val_loss", "--target", "-1"), "loss of at least 0, got -1"),
    (("report", "s.yaml", *RESULTS, "-S", "monitor=val_loss", "--target", "inf"), "loss of at least 0, got inf"),
    *(
        ((verb, "s.yaml", "--results", "new", "--address", address), message)
        for verb in ("run", "lr-find")
        for address, message in NO_ADDRESS.items()
    ),
    *(
        ((verb, "s.yaml", "--results", "/new", "--address", address), message)
        for verb in ("submit", "stop")
        for address, message in NO_SERVER.items()
    ),
    *(
        ((verb, "s.yaml", "--results", "/new", "--cluster", path), message)
        for verb in ("submit", "stop")
        for path, message in NO_CLUSTER.items()
    ),
    *(((verb, "s.yaml", "--results", ""), "--results: expected DIR, got ''") for verb in ON_A_FILE),
    (("doctor", "--results", ""), "--results: expected DIR, got ''"),
    (("doctor", "-S", "epochs=1"), "give the FILE too"),
    (("lr-find", "s.yaml", "--optimizer", ""), "--optimizer: unknown optimizer ''"),
    (("plan", "s.yaml", "-S", f"name={NO_TEXT}"), "-S name: not valid YAML: unacceptable character #xdcff"),
    ((NO_TEXT,), "No such command"),
    (("plan", "s.yaml", f"--{NO_TEXT}"), "No such option"),
    (("plan",), "Missing argument 'FILE'"),
    (("plan", "s.yaml", "s.yaml"), "unexpected extra argument"),
    (("plan", "s.yaml", "--format", "gif"), "'gif' is not one of"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), TABLE, ids=[ascii(" ".join(arguments))[:80] for arguments, _ in TABLE]
)
def test_it_is_a_sentence(
    arguments: tuple[str, ...], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = command(*arguments, capture=capsys)
    assert (code, out) == (2, "")
    assert message in err
    *before, sentence = [line for line in err.strip().splitlines() if not line.startswith("decoding images")]
    assert sentence.startswith("Error: " if before else "error: ")
    assert not before or before[0].startswith("Usage: ")
    assert not (folder / "new").exists()
    assert (folder / "nothing").is_char_device()


def test_the_table_is_long() -> None:
    assert len(TABLE) > 150
