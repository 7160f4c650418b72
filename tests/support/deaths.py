"""Dying at a chosen instant of writing: before, during and after each file that `LocalFiles` writes or deletes."""

import builtins
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments import files
from orchestrator.storage.filesystem import TEMPORARY


class Instants:
    """Counts the instants at which this process could die; at number `fatal` it does, by SIGKILL."""

    def __init__(self, fatal: int | None = None) -> None:
        """Without `fatal` they are only counted."""
        self.count = 0
        self._fatal = fatal

    def tick(self) -> None:
        """One more instant."""
        if self.count == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1

    def install(self) -> None:
        """From now on every write of this process ticks, as do syncs, renames and deletions."""
        os.fsync = self._after_a_tick(os.fsync)  # type: ignore[assignment]
        os.replace = self._after_a_tick(os.replace)
        Path.unlink = self._after_a_tick(Path.unlink)  # type: ignore[method-assign]
        files.open = self._open  # type: ignore[attr-defined]

    def _after_a_tick(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def ticking(*arguments: Any, **named: Any) -> Any:
            self.tick()
            return function(*arguments, **named)

        return ticking

    def _open(self, path: Path, mode: str) -> Any:
        if not path.name.startswith(TEMPORARY):  # of the cache, which may be lost
            return builtins.open(path, mode)
        self.tick()
        return _Torn(builtins.open(path, mode), self)


class _Torn:
    """A file whose content arrives in two halves."""

    def __init__(self, file: Any, instants: Instants) -> None:
        self._file, self._instants = file, instants

    def __enter__(self) -> "_Torn":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, content: bytes) -> None:
        half = len(content) // 2
        self._file.write(content[:half])
        self._file.flush()
        self._instants.tick()
        self._file.write(content[half:])

    def flush(self) -> None:
        self._file.flush()

    def fileno(self) -> int:
        return int(self._file.fileno())
