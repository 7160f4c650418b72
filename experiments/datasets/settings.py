"""The `data:` part of a sweep file: its settings, their defaults and every check that needs no file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from experiments import object_store
from experiments.datasets.registry import SOURCES
from experiments.settings import Choice, InputError, Limit, checked, whole

PIXELS = whole(1, 8192, "pixels")
IMAGES = Limit("at least 1 images", lambda number: number >= 1)
PART = Limit("a fraction between 0 and 1, both excluded", lambda number: 0 < number < 1)
PART_OR_NONE = Limit("a fraction from 0, which is none, to below 1", lambda number: 0 <= number < 1)
SHIFT = Limit("0 pixels or more, and fewer than the image has", lambda number: number >= 0)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes to training images: mirrored left to right, moved by up to `shift` pixels each way."""

    horizontal_flip: Annotated[bool, "mirror training images left to right, at random"] = False
    shift: Annotated[int, SHIFT, "move training images by up to so many pixels each way, at random"] = 0


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """The settings under `data:` in a sweep file."""

    name: Annotated[str, Choice("data set", SOURCES), "the data set; images is a folder of one's own"]
    path: Annotated[
        str | None, "a folder with one folder a class or with Kaggle's names, or its address in a bucket"
    ] = None
    image_size: Annotated[int | None, PIXELS, "the side of an image; null is the data set's own"] = None
    validation: Annotated[float, PART, "how much is held out, stratified"] = 0.25
    test: Annotated[float, PART_OR_NONE, "how much is put aside as a test set, by which nothing is chosen"] = 0.0
    limit: Annotated[int | None, IMAGES, "use so many images at most, before the split; null is all"] = None
    split_seed: Annotated[int, "decides which images are held out, and which are used"] = 0
    augmentation: Annotated[Mapping[str, Any] | None, "random changes to training images; null is none"] = None


@dataclass(frozen=True, kw_only=True)
class Data:
    """The images, their size, and their split.

    `path` is a folder, its `~` expanded, or an object store's address; `image_size` is the side of a square, in
    pixels. `limit` is the largest number of images, before the split; `validation` is the fraction of them that is
    held out, and `test` that of the test set. `split_seed` decides all three selections.
    """

    name: str
    path: str | None
    image_size: int
    validation: float = 0.25
    test: float = 0.0
    limit: int | None = None
    split_seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)


def check(key_path: str, values: Mapping[str, Any]) -> Data:
    """The settings `values` under `key_path` as Data, defaults filled in; that of `image_size` is the source's.

    Raises InputError for an unknown name or setting, a value of the wrong type or out of range, and a missing
    path. Also for a path where the source takes none, and for a split that leaves nothing to train on.

    >>> check("data", {"name": "digits"}).image_size
    32
    """
    settings = checked(key_path, values, DataSettings)
    name, size = settings["name"], settings["image_size"]
    source = SOURCES[name]
    settings["path"] = _checked_path(key_path, name, settings["path"])
    if settings["validation"] + settings["test"] >= 1:
        raise InputError(
            f"{key_path}.validation and {key_path}.test: expected fractions that leave images for training, their "
            f"sum below 1, got {settings['validation']:g} and {settings['test']:g}"
        )
    if size is None:
        size = source.image_size
    inside = f"{key_path}.augmentation"
    augmentation = Augmentation(**checked(inside, settings["augmentation"] or {}, Augmentation))
    if augmentation.shift >= size:
        raise InputError(
            f"{inside}.shift: expected 0 pixels or more, and fewer than the image has ({size}), "
            f"got {augmentation.shift}"
        )
    return Data(**{**settings, "image_size": size, "augmentation": augmentation})


def _checked_path(key_path: str, name: str, path: str | None) -> str | None:
    hint = SOURCES[name].path_hint
    if hint is None and path is not None:
        raise InputError(
            f"{key_path}.path: {name} takes no path, it comes with scikit-learn; got {path!r}. "
            "Leave the path out, or set data.name=images for a folder of photos"
        )
    if hint is not None and not path:
        raise InputError(f"{key_path}.path: {name} needs a folder, got {path!r}. {hint}")
    if path and object_store.is_address(path):
        object_store.parse(f"{key_path}.path", path)
        return path
    return None if path is None else object_store.expanded(f"{key_path}.path", path)
