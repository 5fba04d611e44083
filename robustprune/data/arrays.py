"""Data sets in npz files. They are opened without pickle, so a file cannot run code."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustprune.data.base import Data, Split, holdout, sizes
from robustprune.data.convert import to_images, to_labels
from robustprune.errors import InputError, MissingData

Arrays = dict[str, NDArray[Any]]


def npz(path: str | Path, *, test_share: float = 0.5, seed: int = 0) -> Data:
    """Arrays in npz files: a folder with train.npz and test.npz, or one file.

    A file holds `x` and `y`, or (as Keras writes it) `x_train`, `y_train`, `x_test` and `y_test`; see
    `to_images` for types and shapes, and optionally `classes`, their names. One file with a single set is
    split: `test_share` of each class, drawn with `seed`, is for testing.
    """
    place = Path(path)
    if place.is_dir():
        train, test = (_arrays(place / f"{part}.npz") for part in ("train", "test"))
        return _data(place, train, _split(train, place / "train.npz"), _split(test, place / "test.npz"))
    arrays = _arrays(place)
    if "x_train" in arrays:
        return _data(place, arrays, _split(arrays, place, "_train"), _split(arrays, place, "_test"))
    return _data(place, arrays, *holdout(_split(arrays, place), test_share, seed))


def read_npz(path: Path) -> Split:
    """Read `x` and `y` of one npz file."""
    return _split(_arrays(path), path)


def _arrays(path: Path) -> Arrays:
    if not path.is_file():
        raise MissingData(f"{path}: no such file; write it with numpy.savez(path, x=images, y=labels)")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not an npz file of plain arrays ({error})") from error


def _split(arrays: Arrays, path: Path, suffix: str = "") -> Split:
    missing = [key for key in (f"x{suffix}", f"y{suffix}") if key not in arrays]
    if missing:
        raise InputError(f"{path}: has no {' and no '.join(missing)}, only {', '.join(arrays) or 'nothing'}")
    x, y = to_images(arrays[f"x{suffix}"], str(path)), to_labels(arrays[f"y{suffix}"], str(path))
    return Split(x, y)


def _data(place: Path, arrays: Arrays, train: Split, test: Split) -> Data:
    count = 1 + max(int(train.y.max()), int(test.y.max()))
    classes = tuple(str(name) for name in arrays.get("classes", np.arange(count)))
    source = f"{place.name}: {sizes(train, test)}"
    return Data(place.stem, classes, train, test, source)
