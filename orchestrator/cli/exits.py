"""How the command line ends: an exit code for every end, and a traceback only for faults of this program.

0 all done; 1 some trials failed; 2 bad usage or file; 3 store damaged; 130 interrupted.
"""

import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click
from rich.console import Console

from experiments.settings import InputError
from orchestrator.storage.filesystem import StoreError

NARROWEST = 10
"""Columns of a terminal, at least. Fewer, such as 0, mean that its width is unknown; tables would be empty."""


def leave(command: Callable[[], Any]) -> NoReturn:
    """Run `command`, which returns an exit code or None, and leave the process with the exit code of its end."""
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name that is no text, or a terminal without that letter
            stream.reconfigure(errors="backslashreplace")
    if os.environ.get("COLUMNS", "").isdecimal() and int(os.environ["COLUMNS"]) < NARROWEST:
        del os.environ["COLUMNS"]
    try:
        code = command() or 0
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = 2
    except InputError as error:
        print_message(f"error: {error}")
        code = 2
    except StoreError as error:
        print_message(f"error: {error}")
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print_message("interrupted; everything finished is kept, run the same command again to go on")
        code = 130
    except SystemExit as error:  # click and rich end the program when the reader of stdout is gone
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        _silence_stdout()
        code = 0
    except BrokenPipeError:
        _silence_stdout()
        code = 0
    except OSError as error:
        print_message(f"error: {error.filename or 'stdout'}: {error.strerror or error}")
        _silence_stdout()
        code = 2
    sys.exit(code)


def print_message(message: str) -> None:
    """Print `message` on stderr."""
    Console(stderr=True).print(message, highlight=False, soft_wrap=True, markup=False, emoji=False)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _silence_stdout() -> None:
    """Discard the rest of stdout, also what is written when the interpreter ends."""
    stream = getattr(sys.stdout, "wrapped", sys.stdout)  # click wraps a stream whose reader is gone
    if sys.__stdout__ is not None and stream is sys.__stdout__:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
