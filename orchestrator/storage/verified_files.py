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
    """Files whose every change is preceded by a check and whose content carries its seal.

    What `each` and `one` have read is kept: they read a file again only when its version has changed. Damaged
    files and files without a version are read every time.
    """

    def __init__(self, files: Files, check: Callable[[], None]) -> None:
        """`files`; `check` raises StoreError when this process must not change them any more."""
        self._files, self._check = files, check
        self._folders: dict[tuple[str, str], dict[str, _Kept]] = {}
        self._single: dict[str, _Kept] = {}

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
        self,
        folder: str,
        suffix: str,
        read: Callable[[str], T | CorruptFile | None],
        skip: str = "",
        companion: str = "",
    ) -> tuple[dict[str, T], list[CorruptFile]]:
        """What `read` makes of each file in `folder`, by name without `suffix`, and the damaged files.

        The file called `skip`, without `suffix`, is left out. `companion` is the suffix of a second file that
        `read` looks at.
        """
        versions = self._files.versions(folder)  # a file that is written after this has another version next time
        names = sorted(name for name in versions if name.endswith(suffix) and name != skip + suffix)
        before = self._folders.get((folder, suffix), {})
        memory: dict[str, _Kept] = {}
        for name in names:
            version = versions[name]
            if companion:
                beside = versions.get(name.removesuffix(suffix) + companion, "")
                version = f"{version} {beside}" if version and beside else ""
            last = before.get(name)
            memory[name] = last if last and last.version == version else _Kept(version, None)
        unread = [name for name in names if not memory[name].holds]
        contents = in_threads(lambda name: read(f"{folder}/{name}"), unread, self._files.threads)
        for name, content in zip(unread, contents, strict=True):
            memory[name] = _Kept(memory[name].version, content)
        self._folders[folder, suffix] = {name: file for name, file in memory.items() if file.holds}
        good = {name.removesuffix(suffix): file.content for name, file in memory.items() if file.is_good}
        return good, [file.content for file in memory.values() if isinstance(file.content, CorruptFile)]

    def one(self, name: str, read: Callable[[str], T | CorruptFile | None]) -> T | CorruptFile | None:
        """What `read` makes of one file."""
        version = self._files.version(name)
        memory = self._single.get(name)
        if memory is None or not memory.holds or memory.version != version:
            memory = self._single[name] = _Kept(version, read(name))
        content: T | CorruptFile | None = memory.content
        return content

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


@dataclass(frozen=True)
class _Kept:
    """What was read from a file of that version; None where it does not exist."""

    version: str
    content: Any

    @property
    def is_good(self) -> bool:
        """Whether the file exists and is not damaged."""
        return self.content is not None and not isinstance(self.content, CorruptFile)

    @property
    def holds(self) -> bool:
        """Whether the content need not be read again while the version is the same."""
        return bool(self.version) and self.is_good


def _history(content: bytes) -> pa.Table:
    try:
        return history.read(content)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(str(error).splitlines()[0][:120]) from None


def in_threads(function: Callable[[str], T], names: Sequence[str], threads: int) -> list[T]:
    """`function` of each of `names`, in `threads` where there are many: a remote folder answers slowly."""
    if len(names) < 8:
        return [function(name) for name in names]
    share = -(-len(names) // threads)
    shares = [names[start : start + share] for start in range(0, len(names), share)]
    with ThreadPoolExecutor(threads) as pool:
        return [result for part in pool.map(lambda part: [function(n) for n in part], shares) for result in part]
