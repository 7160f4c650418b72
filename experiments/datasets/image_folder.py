"""A folder of photos: names as Kaggle ships them (`cat.0.jpg`), or one folder a class."""

from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.datasets import regular_files
from experiments.datasets.content_hashes import content_hashes
from experiments.datasets.image_decoding import decoded
from experiments.datasets.location import Location, locate
from experiments.datasets.source import Progress, few
from experiments.files import sha256
from experiments.settings import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif")
PATH_HINT = (
    "Set data.path to a folder, or to its address in a bucket (s3://bucket/prefix), with names such as cat.0.jpg "
    "and dog.0.jpg, or with one folder a class"
)
PARTS = ("train", "training", "test", "testing", "val", "valid", "validation")
SEARCHED = 200
"""Folders that are searched for a better path after an error."""


@dataclass(frozen=True, eq=False)
class Folder:
    """The photos under `root` as an ImageSource; `names` are relative to it, sorted."""

    root: Location
    cache: Path
    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    channels: int = 3

    def digests(self, indices: Sequence[int], progress: Progress | None = None) -> list[str]:
        """The sha256 (hex) of the file of each of the `indices`. Raises InputError for one that cannot be read."""
        names = [self.names[index] for index in indices]
        self.root.fetch(names, progress)
        return content_hashes(self.root.folder, names, self.cache)

    def image(self, index: int, digest: str, size: int) -> NDArray[np.uint8]:
        """One photo, uint8 [size, size, 3]. Raises ValueError when the file is no longer what was hashed."""
        content = regular_files.read(self.root.folder / self.names[index])
        if sha256(content) != digest:
            raise ValueError("the file changed while it was being read")
        return decoded(content, size)

    def place(self, index: int) -> str:
        """The file's path, or its address."""
        return f"{self.root}/{self.names[index]}"


def survey(path: str | None, cache: Path) -> Folder:
    """Every photo under `path`, by the suffix of its name.

    Raises InputError where there is no such folder, no image, a single class, or folders in folders; the message
    suggests a usable folder inside `path`, if there is one.
    """
    root = locate(path or "", cache)
    try:
        grouped = _grouped(root)
    except InputError as error:
        better = _better(root)
        hint = f"; did you mean data.path={better}?" if better else ""
        raise InputError(f"{error}{hint}") from None
    classes = tuple(sorted(grouped))
    ranked = sorted((name, label) for label, kind in enumerate(classes) for name in grouped[kind])
    labels = np.array([label for _, label in ranked], np.int64)
    return Folder(root, cache, classes, tuple(name for name, _ in ranked), labels)


def _grouped(root: Location) -> dict[str, list[str]]:
    """By class, the names of its images relative to `root`. Raises InputError."""
    images, folders = _images_and_folders(root)
    contents = {folder: _images_and_folders(root / folder) for folder in folders}
    filled = [folder for folder, (names, _) in contents.items() if names]
    if images and filled:
        raise InputError(
            f"data.path: {root} holds images as well as folders of images ({few(filled)}); "
            "expected names such as cat.0.jpg, or one folder a class, not both"
        )
    if images:
        grouped = _by_name(images)
    else:
        _refuse_nested(root, contents)
        grouped = {folder: [f"{folder}/{name}" for name in names] for folder, (names, _) in contents.items()}
    if not any(grouped.values()):
        raise InputError(f"data.path: no images in {root}; expected files ending in {', '.join(SUFFIXES)}")
    if len(grouped) == 1:
        raise InputError(f"data.path: {root} holds one class only ({next(iter(grouped))}); expected two or more")
    return grouped


def _by_name(images: Sequence[str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name in images:
        grouped.setdefault(name.partition(".")[0], []).append(name)
    return grouped


def _refuse_nested(root: Location, contents: dict[str, tuple[list[str], list[str]]]) -> None:
    """Raise InputError where the folders in `root` are not classes, but hold classes themselves."""
    for folder, (images, folders) in contents.items():
        nested = [name for name in folders if any(_images_and_folders(root / folder / name))]
        if nested:
            raise InputError(
                f"data.path: {root} holds folders in folders ({folder}/{nested[0]}); "
                "expected one folder a class, with its images directly inside"
            )
        if folder.lower().rstrip("0123456789") in PARTS and _has_kaggle_names(images):
            raise InputError(
                f"data.path: {root / folder} holds names such as {images[0]}, "
                f"so {folder!r} looks like a part of the data, not like a class"
            )


def _has_kaggle_names(images: Sequence[str]) -> bool:
    kinds = Counter(name.partition(".")[0] for name in images if name.count(".") >= 2)
    return len(kinds) > 1 and sum(kinds.values()) == len(images)


def _images_and_folders(folder: Location) -> tuple[list[str], list[str]]:
    """Images and folders directly in `folder`, by name, sorted."""
    files, folders = folder.entries()
    return [name for name in files if name.lower().endswith(SUFFIXES)], folders


def _better(root: Location) -> Location | None:
    """A usable folder inside `root`: the nearest, and `train` before others."""
    queue = deque([root])
    for _ in range(SEARCHED):
        if not queue:
            break
        folder = queue.popleft()
        with suppress(InputError):
            if folder != root and min(map(len, _grouped(folder).values())) > 1:
                return folder
        with suppress(InputError):
            names = _images_and_folders(folder)[1]
            queue.extend(folder / name for name in sorted(names, key=_train_first))
    return None


def _train_first(name: str) -> tuple[bool, str]:
    return "train" not in name.lower(), name
