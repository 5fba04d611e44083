"""PneumoniaMNIST from the npz file of MedMNIST."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from robustprune.data.arrays import npz
from robustprune.data.base import Data, sizes
from robustprune.data.folders import data_root
from robustprune.errors import MissingData

CLASSES = ("normal", "pneumonia")
FILE = "pneumoniamnist.npz"


def pneumonia(root: str | Path | None = None) -> Data:
    """PneumoniaMNIST, 1 x 28 x 28 chest X-rays of children, normal or pneumonia, with MedMNIST's own split.

    Looked for in <root>/pneumonia/pneumoniamnist.npz and <root>/pneumoniamnist.npz, the name that MedMNIST downloads it
    under. Most training images show pneumonia, so that a recipe may want
    `class_weights="balanced"`. Raises MissingData where it is in neither place. Source: Yang et al. 2023, MedMNIST v2
    (Scientific Data 10), after Kermany et al. 2018, CC BY 4.0.
    """
    folder = data_root(root)
    for file in (folder / "pneumonia" / FILE, folder / FILE):
        if file.is_file():
            read = npz(file)
            source = f"PneumoniaMNIST: {sizes(read.train, read.test)}"
            return replace(read, name="pneumonia", classes=CLASSES, source=source)
    raise MissingData(f"PneumoniaMNIST is not in {folder / 'pneumonia'} nor in {folder}: get {FILE} from medmnist.com")
