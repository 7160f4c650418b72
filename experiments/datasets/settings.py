"""The `data:` part of a sweep file: its settings, their defaults and every check that needs no file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments import object_store
from experiments.datasets.registry import SOURCES
from experiments.settings import InputError, Limit, checked, unknown, whole

PIXELS = whole(1, 8192, "pixels")
IMAGES = Limit("at least 1 images", lambda number: number >= 1)


@dataclass(frozen=True)
class Augmentation:
    """Random changes to training images: mirrored left to right, moved by up to `shift` pixels each way."""

    horizontal_flip: bool = False
    shift: int = 0


@dataclass(frozen=True)
class Data:
    """Which images, how large, and how they are divided.

    `validation` is the fraction held out, `limit` the number of images used at most (before the split),
    `split_seed` decides which ones. `path` is a folder, its `~` expanded, or an object store's address;
    `image_size` is the side of a square, in pixels.
    """

    name: str
    path: str | None
    image_size: int
    validation: float = 0.25
    limit: int | None = None
    split_seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)


def check(where: str, given: Mapping[str, Any]) -> Data:
    """The settings `given` under `where` as Data, defaults filled in: `image_size` defaults to the source's
    own.

    Raises InputError for an unknown name or setting, a value of the wrong type or out of range, a missing
    path, and a path for a source that takes none.

    >>> check("data", {"name": "digits"}).image_size
    32
    """
    settings = checked(where, given, _data)
    name, size = settings["name"], settings["image_size"]
    if name not in SOURCES:
        raise unknown(f"{where}.name", "data set", name, SOURCES)
    source = SOURCES[name]
    settings["path"] = _checked_path(where, name, settings["path"])
    if size is None:
        size = source.image_size
    PIXELS.check(f"{where}.image_size", size)
    if settings["limit"] is not None:
        IMAGES.check(f"{where}.limit", settings["limit"])
    if not 0 < settings["validation"] < 1:
        raise InputError(
            f"{where}.validation: expected a fraction between 0 and 1, both excluded, got {settings['validation']}"
        )
    inside = f"{where}.augmentation"
    augmentation = Augmentation(**checked(inside, settings["augmentation"] or {}, _augmentation))
    if not 0 <= augmentation.shift < size:
        raise InputError(
            f"{inside}.shift: expected 0 pixels or more, and fewer than the image has ({size}), "
            f"got {augmentation.shift}"
        )
    return Data(**{**settings, "image_size": size, "augmentation": augmentation})


def _data(
    *,
    name: str,
    path: str | None = None,
    image_size: int | None = None,
    validation: float = 0.25,
    limit: int | None = None,
    split_seed: int = 0,
    augmentation: Mapping[str, Any] | None = None,
) -> None:
    """The settings of `data:`, for `checked`."""


def _augmentation(*, horizontal_flip: bool = False, shift: int = 0) -> None:
    """The settings of `data.augmentation:`, for `checked`."""


def _checked_path(where: str, name: str, path: str | None) -> str | None:
    hint = SOURCES[name].path_hint
    if hint is None and path is not None:
        raise InputError(
            f"{where}.path: {name} takes no path, it comes with scikit-learn; got {path!r}. "
            "Leave the path out, or set data.name=images for a folder of photos"
        )
    if hint is not None and not path:
        raise InputError(f"{where}.path: {name} needs a folder, got {path!r}. {hint}")
    if path and object_store.is_address(path):
        object_store.parse(f"{where}.path", path)
        return path
    return None if path is None else object_store.expanded(f"{where}.path", path)
