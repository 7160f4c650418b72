"""Files as a store needs them: read only when intact, written only while what is written to is held."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

from orchestrator.storage import checksums, history
from orchestrator.storage.filesystem import DamagedError, Files

T = TypeVar("T")


@dataclass(frozen=True)
class CorruptFile:
    """A file of the store that is not what was written there, and why that is known."""

    name: str
    reason: str


class VerifiedFiles:
    """Files whose every change is preceded by a check and whose content carries its seal."""

    def __init__(self, files: Files, check: Callable[[], None]) -> None:
        """`files`; `check` raises StoreError when this process must not change them any more."""
        self._files, self._check = files, check

    def write(self, name: str, content: bytes) -> None:
        """As `Files.write`."""
        self._check()
        self._files.write(name, content)

    def delete(self, name: str) -> None:
        """As `Files.delete`."""
        self._check()
        self._files.delete(name)

    def move(self, name: str, to: str) -> None:
        """As `Files.move`."""
        self._check()
        self._files.move(name, to)

    def json(self, name: str, fields: Mapping[str, type]) -> dict[str, Any]:
        """The sealed JSON object in a file, which has at least these `fields` of these types.

        Raises ValueError for a damaged file and for one that was written as something else, and FileNotFoundError.
        """

        def parse(content: bytes) -> dict[str, Any]:
            value = checksums.read_json(content)
            for field, kind in fields.items():
                if not isinstance(value.get(field), kind):
                    raise ValueError(f"{field}: expected {kind.__name__}, got {value.get(field)!r}")
            return value

        return self._parsed(name, parse)

    def table(self, name: str) -> pa.Table:
        """The history in a file. Raises DamagedError unless it is as it was written, and FileNotFoundError."""
        try:
            return self._parsed(name, _history)
        except ValueError as error:
            raise DamagedError(f"{name}: damaged ({error})") from None

    def each(
        self, folder: str, suffix: str, read: Callable[[str], T | CorruptFile | None], skip: str = ""
    ) -> tuple[dict[str, T], list[CorruptFile]]:
        """What `read` makes of each file in `folder`, by name without `suffix`, and the damages it finds.

        The file called `skip`, without `suffix`, is left out.
        """
        names = [name for name in self._files.names(folder, suffix) if name != skip + suffix]
        results = in_threads(lambda name: read(f"{folder}/{name}"), names, self._files.threads)
        found = list(zip(names, results, strict=True))
        good = {n.removesuffix(suffix): v for n, v in found if v is not None and not isinstance(v, CorruptFile)}
        return good, [v for _, v in found if isinstance(v, CorruptFile)]

    def _parsed(self, name: str, parse: Callable[[bytes], T]) -> T:
        """`parse` of the content, which raises ValueError for a damaged one.

        An object that is replaced while it is read may come as neither the old nor the new: damage is seen twice.
        """
        content = self._files.read(name)
        while True:
            try:
                return parse(content)
            except ValueError:
                again = self._files.read(name)
                if again == content:
                    raise
                content = again


def _history(content: bytes) -> pa.Table:
    try:
        return checksums.read_table(content, history.HISTORY)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(str(error).splitlines()[0][:120]) from None


def in_threads(function: Callable[[str], T], names: Sequence[str], threads: int) -> list[T]:
    """`function` of each of `names`, in `threads` where there are many: a remote folder answers slowly."""
    if len(names) < 8:
        return [function(name) for name in names]
    share = -(-len(names) // threads)
    shares = [names[at : at + share] for at in range(0, len(names), share)]
    with ThreadPoolExecutor(threads) as pool:
        return [result for part in pool.map(lambda part: [function(n) for n in part], shares) for result in part]
