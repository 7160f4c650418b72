"""Modules of the user's own, named in a sweep file: found as Python finds modules, and last in the current folder.

The `sweep` command and Ray's workers do not have the current folder among the places where Python looks, as
`python -m` has. It comes last there, so that a file of the user's called `random.py` takes nobody's place.
"""

import contextlib
import importlib
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

from experiments.settings import InputError, last_line

FOLDER = "SWEEP_FOLDER"
"""The variable that tells a worker in which folder the command was given."""


def load(key_path: str, name: str) -> ModuleType:
    """The module `name`, imported now. Raises InputError with the last line of whatever stands in its way."""
    _look_here_too()
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for data
            return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # a module may fail in any way, and may try to leave
        raise InputError(f"{key_path}: cannot import module {name!r}: {last_line(error)}") from error


def find(key_path: str, name: str) -> ModuleSpec:
    """Where the module `name` lies; at most the packages around it are imported. Raises InputError."""
    _look_here_too()
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None:
            return spec
        reason = f"there is none of this name in {os.getcwd()} nor installed"
    except (Exception, SystemExit) as error:  # of a package around it
        reason = last_line(error)
    raise InputError(f"{key_path}: cannot import module {name!r}: {reason}")


def _look_here_too() -> None:
    for folder in (os.getcwd(), os.environ.get(FOLDER)):
        if folder and folder not in sys.path:
            sys.path.append(folder)
