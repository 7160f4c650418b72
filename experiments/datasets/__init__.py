"""Images for training: scikit-learn's digits, folders of photos, CIFAR-10; in a folder or in a bucket.

`check` reads the settings, `describe` says what there is without decoding anything, `load` decodes once per
node into a memory-mapped uint8 file. `order` and `augment` give an epoch's batches from (seed, epoch) alone.
"""

from experiments.datasets.batches import augment, order
from experiments.datasets.catalogue import Progress
from experiments.datasets.loading import Dataset, Description, describe, load
from experiments.datasets.origins import Unreached, origin
from experiments.datasets.settings import Augmentation, Data, check
from experiments.datasets.sources import SOURCES, Source

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
    "order",
    "origin",
]
