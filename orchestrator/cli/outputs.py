"""What the command line prints, to stdout or into a file. Paths are checked before any work is done."""

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from experiments import object_store
from experiments.settings import InputError
from orchestrator.storage.filesystem import LocalFiles, StoreError

WIDTH = 120
"""Columns of tables in a file."""


def not_empty(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """An option's value: a callback of click's. Raises InputError for an empty text, which is no default."""
    if value is not None and not value.strip():
        raise InputError(f"{option.opts[0]}: expected {option.make_metavar(context)}, got {value!r}")
    return value


def as_results(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """An option's value as a folder, `~` expanded, or an address: a callback of click's. Raises InputError."""
    if not_empty(context, option, value) is None or value is None or object_store.is_address(value):
        return value
    return object_store.expanded(option.opts[0], value)


def as_path(context: click.Context, option: click.Parameter, value: str | None) -> Path | None:
    """An option's value as a path, `~` expanded: a callback of click's. Raises InputError for an empty text."""
    if not_empty(context, option, value) is None or value is None:
        return None
    return Path(object_store.expanded(option.opts[0], value))


def print_text(text: str, output: Path | None = None, end: str = "\n") -> None:
    """Print `text` and `end`, to stdout or into the file `output` of `--output`. Raises InputError."""
    if output is None:
        click.echo(text + end, nl=False)
    else:
        write_file("--output", output, _encoded(text + end))


@contextmanager
def console(output: Path | None = None) -> Iterator[Console]:
    """The terminal's console, or one whose text goes into the file `output` of `--output`. Raises InputError."""
    if output is None:
        yield Console()
        return
    text = io.StringIO()
    yield Console(file=text, width=WIDTH)
    write_file("--output", output, _encoded(text.getvalue()))


def _encoded(text: str) -> bytes:
    return text.encode(errors="backslashreplace")


def require_file(option: str, path: Path, suffixes: Sequence[str] = ()) -> None:
    """Raise InputError where no file can be written at `path`, the value of `option`.

    Raises click's UsageError where the path has none of the `suffixes`, if there are any.
    """
    if suffixes and path.suffix not in suffixes:
        expected = " or ".join(f"FILE{suffix}" for suffix in suffixes)
        raise click.UsageError(f"{option}: expected {expected}, got {path}")
    with _reasoned(option, path):
        if path.is_dir():
            raise InputError(f"{option} {path}: is a folder, expected a file")
        if not path.exists() or path.is_file():
            _require_writable(option, path, path.resolve().parent)


def require_folder(option: str, path: Path) -> None:
    """Raise InputError where no files can be written in the folder `path`; a missing folder is made later."""
    with _reasoned(option, path):
        if path.exists() and not path.is_dir():
            raise InputError(f"{option} {path}: is a file, expected a folder")
        _require_writable(option, path, path.resolve())


def write_file(option: str, path: Path, content: bytes) -> None:
    """`path` now holds `content`, whole. A device or a pipe is written to, not replaced. Raises InputError."""
    with _reasoned(option, path):
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        target = path.resolve()  # a link stays a link
        LocalFiles(target.parent).write(target.name, content)


def write_files(option: str, folder: Path, contents: Mapping[str, bytes]) -> None:
    """`folder` now holds `contents`, bytes by file name. Raises InputError."""
    with _reasoned(option, folder):
        for name, content in contents.items():
            LocalFiles(folder).write(name, content)


def _require_writable(option: str, path: Path, folder: Path) -> None:
    """Raise InputError unless files can be made in `folder`, or it can be made itself."""
    nearest = next(f for f in (folder, *folder.absolute().parents) if f.exists())
    if not nearest.is_dir():
        raise InputError(f"{option} {path}: {nearest} is a file, expected a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{option} {path}: nothing can be written in {nearest}")


@contextmanager
def _reasoned(option: str, path: Path) -> Iterator[None]:
    """Within it, what the system refuses is an InputError that names `option` and `path`."""
    try:
        yield
    except (OSError, RuntimeError, StoreError) as error:
        cause = error.__cause__ if isinstance(error, StoreError) else error
        if isinstance(cause, BrokenPipeError):
            raise
        reason = getattr(cause, "strerror", None) or str(cause)
        raise InputError(f"{option} {path}: cannot be written ({reason})") from None
