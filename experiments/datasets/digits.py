"""The 1,797 handwritten digits of scikit-learn, 8 x 8 pixels, ten classes (UCI, Alpaydin & Kaynak 1998)."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.datasets.cache_files import read_sealed, write_sealed
from experiments.datasets.image_decoding import resized
from experiments.datasets.source import Progress
from experiments.files import sha256

SIDE = 8
BRIGHTEST = 16


@dataclass(frozen=True, eq=False)
class Digits:
    """The digits as an ImageSource; `pixels` uint8 [N, 8, 8, 1]."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] = tuple("0123456789")
    channels: int = 1

    @property
    def names(self) -> list[str]:
        """The number of each digit in scikit-learn's table."""
        return [f"{index:04d}" for index in range(len(self.labels))]

    def digests(self, indices: Sequence[int], progress: Progress | None = None) -> list[str]:
        """The sha256 (hex) of the pixels of each of the `indices`."""
        return [sha256(self.pixels[index].tobytes()) for index in indices]

    def image(self, index: int, digest: str, size: int) -> NDArray[np.uint8]:
        """One digit, uint8 [size, size, 1]."""
        return resized(self.pixels[index], size)

    def place(self, index: int) -> str:
        """The digit's number in scikit-learn's table."""
        return f"digit {index}"


def survey(path: str | None, cache: Path) -> Digits:
    """Every digit. The table is kept in `cache`, because importing scikit-learn takes more than a second."""
    cache_file = cache / f"digits-{version('scikit-learn')}.bin"
    content = read_sealed(cache_file)
    if content is None:
        content = _from_sklearn()
        write_sealed(cache_file, content)
    table = np.frombuffer(content, np.uint8).reshape(-1, SIDE * SIDE + 1)
    return Digits(table[:, 1:].reshape(-1, SIDE, SIDE, 1), table[:, 0].astype(np.int64))


def _from_sklearn() -> bytes:
    """One row a digit: its label, then its 64 pixels scaled from 0..16 to 0..255, all uint8."""
    from sklearn.datasets import load_digits

    features, labels = load_digits(return_X_y=True)
    pixels = np.rint(features * (255 / BRIGHTEST))
    return np.column_stack([labels, pixels]).astype(np.uint8).tobytes()
