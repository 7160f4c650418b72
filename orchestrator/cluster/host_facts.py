"""What a machine says of itself, by the standard library alone: it is sent to nodes, whatever they have."""

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


def look(packages: Sequence[str], project: Sequence[str], folders: Sequence[str]) -> dict[str, Any]:
    """Facts about the machine this runs on, as plain values.

    `versions` of the installed `packages`, None where one is missing; `code`, a hash of the modules of the
    `project`; `memory` and `memory_free` in bytes, as limits of a container allow; `disk`, the free bytes where
    each of the `folders` lies or will lie; `token_mode` and `key`, the file mode of Ray's token file, None where
    there is none; `files`, how many a process may open; `gpus`, how many devices the system shows.
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
        "key": _key(),
        "files": _files(),
        "gpus": len(glob.glob("/dev/nvidia[0-9]*")),
    }


def software(packages: Sequence[str], project: Sequence[str]) -> dict[str, str | None]:
    """Versions of Python and of the `packages`, None where one is missing, and `code`, a hash of `project`."""
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
    """A short hash of the source files of the packages, empty where one cannot be found."""
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
    for limit, used in CGROUPS:
        try:
            most = int(Path(limit).read_text())
            total, free = min(total, most), min(free, most - int(Path(used).read_text()))
        except (OSError, ValueError):
            continue
    return total, max(free, 0)


def _free(folder: Path) -> int | None:
    """Free bytes where `folder` lies, or would lie."""
    try:
        there = next(f for f in (folder, *folder.parents) if f.exists())
        return shutil.disk_usage(there).free
    except (OSError, StopIteration):
        return None


def _key() -> int | None:
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or os.path.expanduser("~/.ray/auth_token")
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return None


def _files() -> int:
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
