"""Content hashes of files, kept between runs."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from experiments.datasets import regular_files
from experiments.datasets.cache_files import read_sealed, write_sealed
from experiments.environment import available_cpus
from experiments.files import sha256
from experiments.settings import InputError

FORMAT = 1  # of the cache file

Hashes = dict[str, list[int | str]]
"""By name a file's size, mtime, ctime and sha256."""


def content_hashes(folder: Path, names: Sequence[str], cache: Path) -> list[str]:
    """The sha256 (hex) of each file `folder/name`, in order; only files changed since the last call are read.

    A file is unchanged while its size, mtime and ctime are: an unpacker can give two versions the same size and
    mtime, but not the same ctime. Raises InputError with the name of a file that cannot be read.
    """
    root = os.path.realpath(folder)
    # Two folders may hold files of the same names, sizes and times but other content: a cache file for each.
    cache_file = cache / f"hashes-{sha256(os.fsencode(root))[:24]}.json"
    hashes = _read(cache_file)
    marks = {name: _mark(root, name) for name in names}
    stale = [name for name in names if hashes.get(name, [])[:3] != marks[name]]
    if stale:
        # A task for many files: submitting a task costs as much as hashing a small file.
        step = -(-len(stale) // (8 * available_cpus()))
        tasks = [stale[start : start + step] for start in range(0, len(stale), step)]
        with ThreadPoolExecutor(available_cpus()) as pool:
            digests = pool.map(lambda task: [_sha256_of_file(root, name) for name in task], tasks)
            for name, digest in zip(stale, chain.from_iterable(digests), strict=True):
                hashes[name] = [*marks[name], digest]
        write_sealed(cache_file, json.dumps({"format": FORMAT, "files": hashes}).encode())
    return [str(hashes[name][3]) for name in names]


def _read(cache_file: Path) -> Hashes:
    content = read_sealed(cache_file)
    document = json.loads(content) if content is not None else {}
    return dict(document["files"]) if document.get("format") == FORMAT else {}


def _mark(root: str, name: str) -> list[int | str]:
    try:
        stat = os.stat(f"{root}/{name}")
        regular_files.require(stat)
    except OSError as error:
        raise _unreadable(root, name, error) from None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _sha256_of_file(root: str, name: str) -> str:
    try:
        return sha256(regular_files.read(f"{root}/{name}"))
    except OSError as error:
        raise _unreadable(root, name, error) from None


def _unreadable(root: str, name: str, error: OSError) -> InputError:
    return InputError(f"data.path: cannot read {root}/{name}: {error.strerror}; mend or remove this file")
