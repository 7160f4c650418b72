"""The table of data sets: a new one is a module with an ImageSource and one row in SOURCES."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from experiments.datasets import cifar10, digits, image_folder
from experiments.datasets.source import ImageSource


@dataclass(frozen=True)
class Source:
    """A kind of data set.

    `image_size`: default side in pixels. `path_hint`: advice for a missing path; None for a kind without a path.
    `survey(path, cache)`: all images, listed without decoding. Raises InputError.
    """

    image_size: int
    path_hint: str | None
    survey: Callable[[str | None, Path], ImageSource]


SOURCES = MappingProxyType(
    {
        "digits": Source(32, None, digits.survey),
        "images": Source(224, image_folder.PATH_HINT, image_folder.survey),
        "cifar10": Source(32, cifar10.PATH_HINT, cifar10.survey),
    }
)
