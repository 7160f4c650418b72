"""Local files that count their reads."""

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from orchestrator.storage.filesystem import LocalFiles


class CountingFiles(LocalFiles):
    """Local files with the number of reads of each name; `on_probe` is called once, at the first probe."""

    def __init__(self, root: Path, on_probe: Callable[[], object] = lambda: None) -> None:
        super().__init__(root)
        self.reads: Counter[str] = Counter()
        self._on_probe = on_probe

    def read(self, name: str) -> bytes:
        content = super().read(name)
        self.reads[name] += 1
        return content

    def probe(self) -> None:
        super().probe()
        on_probe, self._on_probe = self._on_probe, lambda: None
        on_probe()

    def histories(self) -> dict[str, int]:
        """The reads of history files since the last call."""
        counts = {name: count for name, count in self.reads.items() if name.endswith(".parquet")}
        self.reads.clear()
        return counts


def age(folder: Path, seconds: float = 60.0) -> None:
    """Make every file below `folder` older: a file that was just written has no version yet."""
    then = time.time() - seconds
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))
