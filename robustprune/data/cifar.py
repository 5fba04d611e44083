"""CIFAR-10: the full set through torchvision where it is, else subsets in two npz files.

The official files are pickles, which can run code when they are opened. They are read by torchvision's own
loader, which compares their MD5 sums with the published ones first, and by nothing else. The npz files are
read without pickle.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robustprune.data.arrays import read_npz
from robustprune.data.base import Data
from robustprune.data.convert import to_split
from robustprune.data.folders import data_root
from robustprune.errors import MissingData

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
OFFICIAL = "cifar-10-batches-py"
TRAIN, TEST = "train_first_4000.npz", "test_first_1000.npz"


def cifar10(root: str | Path | None = None, download: bool = False) -> Data:
    """CIFAR-10, 3 x 32 x 32, 50000 to train on and 10000 to test, or the first 4000 and 1000 from npz files.

    The full set is looked for in <root>/cifar-10-batches-py (where `download` puts it), the subsets in
    <root>/cifar10/; `source` says which it is. Raises MissingData where there is neither. Source: Krizhevsky
    2009, Learning Multiple Layers of Features from Tiny Images.
    """
    folder = data_root(root)
    if download or (folder / OFFICIAL).is_dir():
        return _official(folder, download)
    subsets = folder / "cifar10"
    if (subsets / TRAIN).is_file() and (subsets / TEST).is_file():
        train, test = read_npz(subsets / TRAIN), read_npz(subsets / TEST)
        source = f"CIFAR-10, subset: the first {len(train)} training and the first {len(test)} test images"
        return Data("cifar10", CLASSES, train, test, source)
    raise MissingData(f"CIFAR-10 is neither in {folder / OFFICIAL} nor in {subsets}: call cifar10(download=True) once")


def _official(folder: Path, download: bool) -> Data:
    from torchvision.datasets import CIFAR10

    try:
        parts = [CIFAR10(folder, train=train, download=download) for train in (True, False)]
    except (OSError, RuntimeError) as error:
        raise MissingData(
            f"CIFAR-10 in {folder / OFFICIAL} is missing or damaged ({error}): delete it, download it"
        ) from error
    train, test = (to_split(part.data, np.asarray(part.targets), folder / OFFICIAL) for part in parts)
    return Data("cifar10", CLASSES, train, test, f"CIFAR-10: {len(train)} training and {len(test)} test images")
