"""Fresh processes for the price of a fork: one has a backend imported and does nothing, its children do the work.

A process with an environment of its own takes seconds to import a backend. A child of it has computed nothing yet,
so it is as cold as a new worker, and a case may have several of them.
"""

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")
ROOT = Path(__file__).parents[2]


class WorkError(Exception):
    """A child raised an error, or died. The message is its traceback."""


class Answer:
    """What a child will have to say."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self) -> Any:
        """Wait for it. Raises WorkError."""
        try:
            worked, value = self._connection.recv()
        except (EOFError, ConnectionError):
            raise WorkError("the process died without a word") from None
        finally:
            self._connection.close()
        if not worked:
            raise WorkError(value)
        return value


class Nursery:
    """A process that forks; to be closed, or used as a context.

    `environment` is set on top of this process's own, None takes a variable away; the backend is that of
    KERAS_BACKEND there.
    """

    def __init__(self, environment: Mapping[str, str | None] | None = None) -> None:
        changes = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT), **(environment or {})}
        inherited = {name: value for name, value in os.environ.items() if name not in changes}
        wanted = inherited | {name: value for name, value in changes.items() if value is not None}
        self.backend = wanted.get("KERAS_BACKEND", "tensorflow")
        self._control, control = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.generated.nursery", self.backend, str(control.fileno())],
            env=wanted,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            pass_fds=[control.fileno()],
        )
        control.close()

    def start(self, function: Callable[..., Any], *arguments: Any) -> Answer:
        """Have a fresh child call `function`, of a module's top level, with `arguments`."""
        connection, childs = Pipe()
        send_handle(self._control, childs.fileno(), self._process.pid)
        childs.close()
        connection.send((function, arguments))
        return Answer(connection)

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """What `function` gives in a fresh child. Raises WorkError."""
        value: T = self.start(function, *arguments).get()
        return value

    def close(self) -> None:
        """End it; children that are still at work end by themselves."""
        self._control.close()
        self._process.kill()  # taking a backend down in order takes a while
        self._process.wait()

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _work(connection: Connection) -> None:
    try:
        function, arguments = connection.recv()
        answer = True, function(*arguments)
    except BaseException:
        answer = False, traceback.format_exc()
    connection.send(answer)


def _fork_on_request(backend: str, control: Connection) -> None:
    for module in ("orchestrator.execution.trainable", "tests.generated.one_key", "keras", backend):
        import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    while True:
        try:
            connection = Connection(recv_handle(control))
        except EOFError:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            try:
                _work(connection)
            finally:
                # What was inherited is not this process's to close.
                os._exit(0)
        connection.close()


if __name__ == "__main__":
    _fork_on_request(sys.argv[1], Connection(int(sys.argv[2])))
