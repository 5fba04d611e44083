"""Data sets in npz files. They are opened without pickle, so a file cannot run code.

What a file says of itself is believed only where it agrees with how many bytes there are: an array's header may declare
more than any memory holds, and a packed file may grow a thousandfold.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from robustprune.data.base import Data, Split, concatenated, holdout
from robustprune.data.classes import Names, agreed, assembled, class_names, renumbered
from robustprune.data.convert import is_bomb, to_labels, to_split
from robustprune.data.folders import files_in
from robustprune.data.naming import about
from robustprune.data.parts import parts_of
from robustprune.errors import InputError, MissingData

Arrays = dict[str, NDArray[Any]]

MEDMNIST = {
    f"{part}_{what}": f"{one}_{part}"
    for part in ("train", "test")
    for one, what in zip("xy", ("images", "labels"), strict=True)
}
"""What MedMNIST calls an array -> what Keras does."""

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def npz(path: str | Path, *, test_share: float = 0.5, seed: int = 0) -> Data:
    """Arrays in npz files: one file, or a folder with train.npz and test.npz (or digits-train.npz, val.npz).

    A file holds `x` and `y`, or (as Keras writes it) `x_train`, `y_train`, `x_test` and `y_test`, or (as MedMNIST does)
    `train_images`, `train_labels`, `test_images` and `test_labels`; see `to_images` for types and shapes, and
    optionally `classes`, their names, by which the labels of two files are matched. A single set is split: `test_share`
    of each class, drawn with `seed`, is for testing.
    """
    place = Path(path)
    with about(place):
        return _folder(place, test_share, seed) if place.is_dir() else _file(place, test_share, seed)


def read_npz(path: Path) -> Split:
    """Read `x` and `y` of one npz file."""
    with about(path):
        return _split(_arrays(path), path, ())


def _file(path: Path, test_share: float, seed: int) -> Data:
    arrays = _arrays(path)
    names = _names(arrays, path)
    if "x_train" in arrays:
        train, test = (_split(arrays, path, names, end) for end in ("_train", "_test"))
        return assembled("", path, names, train, test)
    return assembled("", path, names, *holdout(_split(arrays, path, names), test_share, seed))


def _folder(place: Path, test_share: float, seed: int) -> Data:
    files = {file.stem: file for file in files_in(place, ".npz")}
    if not files:
        raise MissingData(f"{place}: holds no .npz file; expected train.npz and test.npz")
    parts = parts_of([*files])
    every = {name: _arrays(files[name]) for name in (*parts.train, *parts.test)}
    names = agreed(_names(arrays, files[name]) for name, arrays in every.items())
    train, test = ([_split(every[name], files[name], names) for name in part] for part in (parts.train, parts.test))
    whole = concatenated(test)
    sides = (concatenated(train), whole) if train else holdout(whole, test_share, seed)
    return assembled("", place, names, *sides, parts.left_out)


def _arrays(path: Path) -> Arrays:
    """Read the arrays of a file that are of use; whatever else is in it stays unopened."""
    if not path.is_file():
        raise MissingData(f"{path}: no such file; write it with numpy.savez(path, x=images, y=labels)")
    wanted = {f"{one}{end}" for one in "xy" for end in ("", "_train", "_test")} | {"classes"}
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            known = {MEDMNIST.get(name, name): one for name, one in members.items()}
            found = {name: _array(archive, one) for name, one in known.items() if name in wanted}
    except Exception as error:  # what the readers raise on garbage is not bounded
        raise InputError(f"{path}: not an npz file of plain arrays ({error})") from error
    ends = ("_train", "_test") if "x_train" in found else ("",)
    missing = [f"{one}{end}" for end in ends for one in "xy" if f"{one}{end}" not in found]
    if missing:
        raise InputError(f"{path}: has no {' and no '.join(missing)}, only {', '.join(members) or 'nothing'}")
    return found


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """Read one array; ValueError where it is none, or would take more memory than it has content."""
    name, size, packed = member.filename, member.file_size, member.compress_size
    if is_bomb(packed, size):
        raise ValueError(f"{name} grows from {packed:,} to {size:,} bytes")
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"{name} has format {version}, expected (1, 0) or (2, 0)")
        shape, _, dtype = _HEADERS[version](stream)
        if dtype.hasobject:
            raise ValueError(f"{name} holds Python objects, which could run code when they are opened")
        declared, there = math.prod(shape) * dtype.itemsize, size - stream.tell()
        if declared != there:
            raise ValueError(f"{name} declares {dtype} {shape}, {declared:,} bytes, but holds {there:,}")
        stream.seek(0)
        return np.asarray(npy.read_array(stream, allow_pickle=False))


def _names(arrays: Arrays, path: Path) -> Names:
    if "classes" not in arrays:
        return ()
    names = arrays["classes"]
    if names.ndim != 1 or names.dtype.kind not in "USiu":
        raise InputError(f"{path}: classes are {names.dtype} {names.shape}, expected their names (k,)")
    return class_names(names.tolist())


def _split(arrays: Arrays, path: Path, names: Names, end: str = "") -> Split:
    labels = to_labels(arrays[f"y{end}"], str(path)).numpy()
    return to_split(arrays[f"x{end}"], renumbered(labels, _names(arrays, path), names, path), path)
