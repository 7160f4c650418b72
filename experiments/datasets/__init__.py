"""Images for training: scikit-learn's digits, folders of photos, CIFAR-10; in a folder or in a bucket.

`check` reads the settings, `describe` lists the images without decoding, `load` decodes once on each node into a
memory-mapped uint8 file. `order` and `augment` depend on (seed, epoch) alone.
"""

from experiments.datasets.dataset import Dataset, Description, describe, load
from experiments.datasets.location import Unreached, locate
from experiments.datasets.registry import SOURCES, Source
from experiments.datasets.settings import Augmentation, Data, check
from experiments.datasets.shuffling import augment, order
from experiments.datasets.source import Progress

__all__ = [
    "SOURCES",
    "Augmentation",
    "Data",
    "Dataset",
    "Description",
    "Progress",
    "Source",
    "Unreached",
    "augment",
    "check",
    "describe",
    "load",
    "locate",
    "order",
]
