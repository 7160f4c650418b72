"""jax's compile cache: a process loads the functions that an earlier process of this node has compiled.

jax names an entry after the function, its version and XLA's flags. The folder's name adds the CPU and the number
of threads, on which the compiled code depends as well.
"""

import hashlib
import os
import platform
import warnings
from collections.abc import Iterator
from pathlib import Path

LARGEST = 2**28
"""Bytes that a folder may take: about a thousand functions. jax deletes those first that it used longest ago."""
_CPU = ("vendor_id", "cpu family", "model", "stepping", "flags", "CPU implementer", "CPU part", "Features")
"""The names in /proc/cpuinfo of the facts that compiled code depends on, on x86 and on ARM."""


def use(cache: Path | None, threads: int) -> None:
    """Let jax keep the functions of this process below `cache`, or nowhere. Call it before the first compilation.

    A folder is not used where this user cannot write, or where others can: an entry is code that jax runs. A
    function whose entry cannot be read or written is compiled as without a cache.
    """
    import jax

    folder = None if cache is None else cache / "jax" / f"{_cpu()}-{threads}"
    if folder is not None and not _is_own(folder):
        folder = None
    jax.config.update("jax_compilation_cache_dir", None if folder is None else str(folder))
    if folder is None:
        return
    _discard_unfinished(folder)
    jax.config.update("jax_compilation_cache_max_size", LARGEST)
    # By default jax keeps no small functions, but there is one for each shape of a weight.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    # XLA's own caches have no limit to their size.
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
    warnings.filterwarnings("ignore", r"Error (reading|writing) persistent compilation cache entry")


def _cpu() -> str:
    """A short name of this machine's kind of CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
    except OSError:
        lines = [f"vendor_id: {platform.processor()}"]
    facts = [platform.machine(), *(line for line in lines if line.partition(":")[0].strip() in _CPU)]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]


def _is_own(folder: Path) -> bool:
    """Whether `folder` exists, or could be made, and only this user may write to it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and not status.st_mode & 0o022 and os.access(folder, os.W_OK)


def _discard_unfinished(folder: Path) -> None:
    """Delete the entries whose writing was interrupted: jax would write neither them again nor any other."""
    for entry in _unfinished(folder):
        try:
            entry.unlink(missing_ok=True)
        except OSError:
            return


def _unfinished(folder: Path) -> Iterator[Path]:
    """The entries without a time of last use, which jax writes after the entry."""
    for entry in folder.glob("*-cache"):
        if not entry.with_name(entry.name.removesuffix("-cache") + "-atime").exists():
            yield entry
