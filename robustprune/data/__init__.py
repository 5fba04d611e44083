"""Data sets: images in [0, 1], or texts as token numbers, with labels, in a part to learn from and one to measure on.

base.py says what a data set is; arrays.py (npz), tables.py (parquet) and folder_images.py read files, with convert.py
and pictures.py; parts.py, classes.py and naming.py read the names of parts, of classes and in errors; cifar.py,
fashion.py, medmnist.py and sklearn_digits.py are known by name; wordpiece.py turns text into token numbers and
reviews.py reads texts, which need a vocabulary first; made.py calls a function of the user's own. To add one: a file
with a function that returns `Data`, and a line in DATASETS here (or, for a kind of file, in `load_data`). One of your
own needs no name: pass the function, or type file.py:function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from robustprune.data.arrays import npz
from robustprune.data.base import Data, Split, count_shared, holdout
from robustprune.data.cifar import cifar10
from robustprune.data.fashion import fashion_mnist
from robustprune.data.folder_images import image_folder
from robustprune.data.folders import data_root, files_in
from robustprune.data.made import is_function, made
from robustprune.data.medmnist import pneumonia
from robustprune.data.naming import about
from robustprune.data.reviews import film_reviews
from robustprune.data.sklearn_digits import digits
from robustprune.data.tables import parquet
from robustprune.data.wordpiece import WordPiece
from robustprune.errors import InputError

DATASETS: Mapping[str, Callable[[], Data]] = {
    "digits": digits,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
    "pneumonia": pneumonia,
}
"""Name -> loader that needs no argument; the first line of its docstring says what it is."""

FILES: Mapping[str, Callable[..., Data]] = {".npz": npz, ".parquet": parquet}
"""Ending -> loader of such a file, or of a folder that holds such files."""


def load_data(name_or_path: str | Path, test_share: float = 0.5) -> Data:
    """Load a data set by its name in DATASETS, or from a path: npz, parquet, or a folder of pictures.

    Or by a function that gives it: `mine.py:data`, `package.module:data`; its parts are as they come. A path that holds
    a single set is split, `test_share` of it for testing; 1: all of it (`holdout`).

    >>> load_data("digits").name
    'digits'
    """
    if str(name_or_path) in DATASETS:
        return DATASETS[str(name_or_path)]()
    path = Path(name_or_path)
    with about(path):
        if not path.exists():
            if is_function(str(name_or_path)):
                return made(str(name_or_path))
            raise InputError(
                f"data {str(path)!r}: neither a path nor one of {', '.join(DATASETS)}, nor file.py:function"
            )
        found = {ending: loader for ending, loader in FILES.items() if _holds(path, ending)}
        if len(found) > 1:
            raise InputError(f"{path}: holds files of {' and '.join(found)}, expected one kind; name the file itself")
        for loader in found.values():
            return loader(path, test_share=test_share)
        if path.is_dir():
            return image_folder(path, test_share=test_share)
        raise InputError(f"{path}: expected .npz, .parquet, or a folder of pictures in class folders")


def _holds(path: Path, ending: str) -> bool:
    return bool(files_in(path, ending)) if path.is_dir() else path.suffix.lower() == ending


__all__ = [
    "DATASETS",
    "Data",
    "Split",
    "WordPiece",
    "cifar10",
    "count_shared",
    "data_root",
    "digits",
    "fashion_mnist",
    "film_reviews",
    "holdout",
    "image_folder",
    "load_data",
    "npz",
    "parquet",
    "pneumonia",
]
