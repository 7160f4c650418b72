"""The `data:` part of a sweep file: its settings, their defaults and every check that needs no file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments import addresses
from experiments.checks import InputError, checked, unknown
from experiments.datasets.sources import SOURCES


@dataclass(frozen=True)
class Augmentation:
    """Random changes to training images: mirrored left to right, moved by up to `shift` pixels each way."""

    horizontal_flip: bool = False
    shift: int = 0


@dataclass(frozen=True)
class Data:
    """Which images, how large, and how they are divided.

    `validation` is the fraction held out, `limit` the number of images used at most (before the split),
    `split_seed` decides which ones. `path`, a folder or an object store's address,
    is kept as it was given; `image_size` is the side of a square, in pixels.
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
    _check_path(where, name, settings["path"])
    if size is None:
        size = source.image_size
    _at_least(f"{where}.image_size", size, 1, "pixels")
    if settings["limit"] is not None:
        _at_least(f"{where}.limit", settings["limit"], 1, "images")
    if not 0 < settings["validation"] < 1:
        raise InputError(
            f"{where}.validation: expected a fraction between 0 and 1, both excluded, got {settings['validation']}"
        )
    inside = f"{where}.augmentation"
    augmentation = Augmentation(**checked(inside, settings["augmentation"] or {}, _augmentation))
    _at_least(f"{inside}.shift", augmentation.shift, 0, "pixels")
    if augmentation.shift >= size:
        raise InputError(
            f"{inside}.shift: expected fewer pixels than the image has ({size}), got {augmentation.shift}"
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


def _check_path(where: str, name: str, path: str | None) -> None:
    hint = SOURCES[name].path_hint
    if hint is None and path is not None:
        raise InputError(
            f"{where}.path: {name} takes no path, it comes with scikit-learn; got {path!r}. "
            "Leave the path out, or set data.name=images for a folder of photos"
        )
    if hint is not None and not path:
        raise InputError(f"{where}.path: {name} needs a folder, got {path!r}. {hint}")
    if path and addresses.is_address(path):
        addresses.parse(f"{where}.path", path)


def _at_least(where: str, value: int, least: int, unit: str) -> None:
    if value < least:
        raise InputError(f"{where}: expected at least {least} {unit}, got {value}")
