"""Opening a results folder: its files by an address, and the locks that go with them."""

from pathlib import Path

from experiments.object_store import is_address
from orchestrator.storage.file_lock import FileLocks
from orchestrator.storage.filesystem import Files, LocalFiles
from orchestrator.storage.lease_lock import Leases
from orchestrator.storage.lock import LockTimes, SweepLocks
from orchestrator.storage.object_store import ObjectFiles, opened


def files_at(results: str) -> Files:
    """The files at a local path or at an object store's address.

    Raises InputError as `opened` does, and for a path that is no folder or cannot be read.
    """
    if is_address(results):
        return opened(results)
    files = LocalFiles(Path(results))
    files.look()
    return files


def locks_for(files: Files, waits: LockTimes | None = None) -> SweepLocks:
    """The runs in `files`, held by whatever locks there are. Raises TypeError for files of another kind."""
    if isinstance(files, LocalFiles):
        return FileLocks(files.root, waits)
    if isinstance(files, ObjectFiles):
        return Leases(files, waits)
    raise TypeError(f"no locks are known for {type(files).__name__}")
