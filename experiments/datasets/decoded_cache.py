"""Images decoded once per node into a memory-mapped file that is checked whenever it is opened."""

import hashlib
import io
import math
import shutil
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.datasets.cache_files import FULL, locked
from experiments.datasets.source import Progress, few
from experiments.files import replacing, sync_folder
from experiments.settings import InputError

Pixels = NDArray[np.uint8]
Shape = tuple[int, int, int, int]

CHUNK_BYTES = 8 << 20


def decoded_once(
    path: Path,
    shape: Shape,
    image: Callable[[int], Pixels],
    place: Callable[[int], str],
    *,
    threads: int,
    progress: Progress | None,
) -> Pixels:
    """The images in `path` (.npy), uint8 `shape` = [N, H, W, C], memory-mapped read-only.

    Where they are missing or damaged, `image(n)` decodes each one and `place(n)` names its source. Of several
    processes at once, one decodes and the others wait; `progress(done, total)` is called while decoding. Raises
    InputError for images that cannot be decoded (all are counted, some named) and for lack of disk space.
    """
    images = _opened(path, shape)
    if images is not None:
        return images
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(path.with_suffix(".lock")))
        except OSError as error:
            raise _unwritable(path, error) from None
        images = _opened(path, shape)
        if images is None:
            _write(path, shape, _chunks(shape, image, place, threads, progress))
            images = _opened(path, shape)
    if images is None:
        raise InputError(f"data: {path} does not read back as it was written; check this disk")
    return images


def _opened(path: Path, shape: Shape) -> Pixels | None:
    try:
        expected = _sidecar(path).read_text(errors="replace")
        stat = path.stat()
        if _sha256_of_file(path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) != expected:
            return None
        images: Pixels = np.load(path, mmap_mode="r")
    except (OSError, ValueError):
        return None
    return images if images.shape == shape and images.dtype == np.uint8 else None


# A warm worker opens the same gigabytes for trial after trial, and reads them once.
@lru_cache(maxsize=8)
def _sha256_of_file(path: Path, *_unchanged: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _write(path: Path, shape: Shape, chunks: Generator[Pixels, None, None]) -> None:
    """Write the file and its hash; only one process does at a time. Raises InputError, and leaves no file then.

    The file is written in sequence and mapped afterwards: a full disk is an error here, but kills a process that
    writes through a mapping.
    """
    temporary, temporary_seal = path.with_name(f"{path.name}.tmp"), path.with_name(f"{path.name}.sha256.tmp")
    for leftover in (path, temporary, temporary_seal):
        leftover.unlink(missing_ok=True)
    if shutil.disk_usage(path.parent).free < _bytes(shape):
        raise _no_room(path, shape)
    digest = hashlib.sha256()
    try:
        with replacing(_sidecar(path), temporary_seal) as seal:
            with closing(_blocks(shape, chunks)) as blocks, replacing(path, temporary) as file:
                for block in blocks:
                    digest.update(block)
                    file.write(block)
            seal.write(digest.hexdigest().encode())
        sync_folder(path.parent)
    except OSError as error:
        raise (_no_room(path, shape) if error.errno in FULL else _unwritable(path, error)) from None


def _blocks(shape: Shape, chunks: Generator[Pixels, None, None]) -> Generator[bytes | memoryview, None, None]:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    yield header.getvalue()
    with closing(chunks):
        for chunk in chunks:
            yield chunk.data


def _chunks(
    shape: Shape,
    image: Callable[[int], Pixels],
    place: Callable[[int], str],
    threads: int,
    progress: Progress | None,
) -> Generator[Pixels, None, None]:
    """The images in order, several at a time. Raises InputError in the end for those that are broken."""
    step = max(1, min(64, CHUNK_BYTES // math.prod(shape[1:])))
    broken: list[str] = []

    def chunk(start: int) -> Pixels:
        pixels = np.zeros((min(step, shape[0] - start), *shape[1:]), np.uint8)
        for offset in range(len(pixels)):
            try:
                pixels[offset] = image(start + offset)
            # Pillow's decoders raise nearly every type there is on a broken file.
            except Exception as error:
                broken.append(f"{place(start + offset)} ({_reason(error)})")
        return pixels

    starts = iter(range(0, shape[0], step))
    pool = ThreadPoolExecutor(threads)
    try:
        tasks = deque(pool.submit(chunk, start) for start in islice(starts, 2 * threads))
        decoded = 0
        while tasks:
            pixels = tasks.popleft().result()
            tasks.extend(pool.submit(chunk, start) for start in islice(starts, 1))
            decoded += len(pixels)
            yield pixels
            if progress is not None:
                progress(decoded, shape[0])
    finally:
        pool.shutdown(cancel_futures=True)
    if broken:
        raise InputError(
            f"data.path: {len(broken)} of {shape[0]} images cannot be decoded: "
            f"{few(sorted(broken))}; replace or remove them"
        )


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    return (
        "no JPEG, PNG, BMP, WebP or GIF"
        if isinstance(error, UnidentifiedImageError)
        else str(error) or type(error).__name__
    )


def _bytes(shape: Shape) -> int:
    return math.prod(shape) + 128


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"data: cannot keep decoded images in {path.parent}: {error.strerror or error}; set SWEEP_CACHE to a "
        "folder that can be written"
    )


def _no_room(path: Path, shape: Shape) -> InputError:
    free = shutil.disk_usage(path.parent).free
    return InputError(
        f"data: decoding {shape[0]} images to {shape[1]} x {shape[2]} pixels needs "
        f"{_bytes(shape) / 1e6:,.1f} MB in {path.parent}, where {free / 1e6:,.1f} MB are free; "
        "free some, or set a smaller image_size or limit"
    )
