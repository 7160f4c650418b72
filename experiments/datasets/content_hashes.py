"""Content hashes of files, remembered between runs."""

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from experiments.datasets import regular_files
from experiments.datasets.cache_files import read_sealed, write_sealed
from experiments.environment import available_cpus
from experiments.settings import InputError

FORMAT = 1  # of the cache file

Known = dict[str, list[int | str]]


def content_hashes(folder: Path, names: Sequence[str], cache: Path) -> list[str]:
    """The sha256 (hex) of each file `folder/name`, in order; only files changed since the last time are read.

    A file counts as unchanged while size, mtime and ctime stand: an unpacker can give two versions the same
    size and mtime, but not the same ctime. Raises InputError naming a file that cannot be read.
    """
    root = os.path.realpath(folder)
    # Two folders may hold files of the same names, sizes and times but other content: one memory for each.
    memory = cache / f"hashes-{hashlib.sha256(os.fsencode(root)).hexdigest()[:24]}.json"
    known = _recall(memory)
    marks = {name: _mark(root, name) for name in names}
    stale = [name for name in names if known.get(name, [])[:3] != marks[name]]
    if stale:
        # A task of many files: handing over a small one costs as much as hashing it.
        step = -(-len(stale) // (8 * available_cpus()))
        tasks = [stale[start : start + step] for start in range(0, len(stale), step)]
        with ThreadPoolExecutor(available_cpus()) as pool:
            done = pool.map(lambda task: [_sha256(root, name) for name in task], tasks)
            for name, digest in zip(stale, chain.from_iterable(done), strict=True):
                known[name] = [*marks[name], digest]
        write_sealed(memory, json.dumps({"format": FORMAT, "files": known}).encode())
    return [str(known[name][3]) for name in names]


def _recall(memory: Path) -> Known:
    content = read_sealed(memory)
    kept = json.loads(content) if content is not None else {}
    return dict(kept["files"]) if kept.get("format") == FORMAT else {}


def _mark(root: str, name: str) -> list[int | str]:
    try:
        stat = os.stat(f"{root}/{name}")
        regular_files.require(stat)
    except OSError as error:
        raise _unreadable(root, name, error) from None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _sha256(root: str, name: str) -> str:
    try:
        return hashlib.sha256(regular_files.read(f"{root}/{name}")).hexdigest()
    except OSError as error:
        raise _unreadable(root, name, error) from None


def _unreadable(root: str, name: str, error: OSError) -> InputError:
    return InputError(f"data.path: cannot read {root}/{name}: {error.strerror}; mend or remove this file")
