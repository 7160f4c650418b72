"""Facts about a machine, read with the standard library alone: nodes get the module by value."""

import glob
import hashlib
import os
import platform
import shutil
import socket
import stat
from collections.abc import Sequence
from importlib import metadata, util
from pathlib import Path
from typing import Any

CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def collect(packages: Sequence[str], project: Sequence[str], folders: Sequence[str]) -> dict[str, Any]:
    """Facts about the machine of this process, as plain values.

    `versions`: of the installed `packages`, None for a missing one. `code`: a hash of the source of the `project`.
    `memory` and `memory_free`: bytes, within the limits of a container. `disk`: the free bytes on the disk of each
    of the `folders`, which need not exist. `token_mode`: RAY_AUTH_MODE. `key`: the file mode of Ray's token file,
    None without one. `files`: how many a process may open. `gpus`: how many devices the system has.
    """
    total, free = _memory()
    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
        "code": _code(project),
        "memory": total,
        "memory_free": free,
        "disk": {folder: _free(Path(folder)) for folder in folders},
        "token_mode": os.environ.get("RAY_AUTH_MODE", ""),
        "key": _token_file_mode(),
        "files": _open_files_limit(),
        "gpus": len(glob.glob("/dev/nvidia[0-9]*")),
    }


def software(packages: Sequence[str], project: Sequence[str]) -> dict[str, str | None]:
    """Versions of Python and of the `packages`, None for a missing one, and `code`, a hash of the `project`."""
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in packages},
        "code": _code(project),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _code(project: Sequence[str]) -> str:
    """A short hash of the source files of the packages, empty where one is missing."""
    digest = hashlib.sha256()
    for package in project:
        spec = util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            return ""
        folder = Path(next(iter(spec.submodule_search_locations)))
        for path in sorted(folder.rglob("*.py")):
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:8]


def _memory() -> tuple[int, int]:
    """Bytes of memory, and how many of them are free for new processes."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = total
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pass
    for limit_file, usage_file in CGROUPS:
        try:
            limit = int(Path(limit_file).read_text())
            total, free = min(total, limit), min(free, limit - int(Path(usage_file).read_text()))
        except (OSError, ValueError):
            continue
    return total, max(free, 0)


def _free(folder: Path) -> int | None:
    """Free bytes on the disk of `folder`, which need not exist."""
    try:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        return shutil.disk_usage(existing).free
    except (OSError, StopIteration):
        return None


def _token_file_mode() -> int | None:
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or os.path.expanduser("~/.ray/auth_token")
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return None


def _open_files_limit() -> int:
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
