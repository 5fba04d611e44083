"""Folders of pictures, one folder a class, as torchvision's ImageFolder has them."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustprune.data.base import Data, Split, balanced_indices, holdout
from robustprune.data.classes import Names, assembled, class_names
from robustprune.data.convert import to_split
from robustprune.data.naming import about, legible
from robustprune.data.parts import part_of, parts_of
from robustprune.data.pictures import decode, stack
from robustprune.errors import InputError, MissingData

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
LISTS = (".csv", ".tsv", ".txt", ".lst", ".json", ".jsonl", ".arrow")

SHOWN = 4
"""Endings of files that are passed over; the names of more are left out."""


def image_folder(
    path: str | Path,
    size: int | None = None,
    *,
    limit: int | None = None,
    test_share: float = 0.5,
    seed: int = 0,
) -> Data:
    """Pictures in class folders, below train/ and test/ (or val/, dev/, eval/), or directly below `path`.

    Without these two parts the pictures are split: `test_share` of each class, drawn with `seed`, is for testing.
    `size` scales the middle of each picture to (size, size); without it all must have one size. `limit` decodes no
    more than so many of each part, class-balanced. All grey gives one channel, else three.
    """
    root = Path(path)
    with about(root):
        if not root.is_dir():
            raise MissingData(f"{root}: no such folder; expected class folders, or train/ and test/ with class folders")
        train, test, left_out = _parts(root)
        names, whole = _read(test, size, limit, seed)
        over = passed_over([root] if train is None else [train, test])
        if over:
            warnings.warn(f"{legible(str(root))}: passed over {over}", stacklevel=2)
            left_out = (over, *left_out)
        if train is None:
            return assembled("pictures in ", root, names, *holdout(whole, test_share, seed), left_out)
        classes, part = _read(train, size, limit, seed)
        if classes != names:
            differing = sorted({*classes} ^ {*names})
            raise InputError(f"{root}: classes of {train.name} and {test.name} differ: {differing}")
        return assembled("pictures in ", root, classes, part, whole, left_out)


def _parts(root: Path) -> tuple[Path | None, Path, tuple[str, ...]]:
    """Return the folder to learn from, the one to measure on, and what is left out.

    The first is None where the other holds a single set. A folder is a part if its name says so and it holds folders
    (its classes); one with pictures is a class, which may be called train as well.
    """
    folders = _folders(root)
    named = [folder for folder in folders if part_of(folder.name)]
    if not any(_folders(folder) for folder in named):
        if named == folders and folders:
            names = ", ".join(folder.name for folder in folders)
            raise InputError(f"{root}: parts ({names}) without class folders; expected a folder of pictures a class")
        _check_no_lists(root)
        return None, root, ()
    parts = parts_of([folder.name for folder in folders if _pictures(folder, set())])
    for one in (parts.train, parts.test):
        if len(one) > 1:
            raise InputError(f"{root}: {' and '.join(one)} are folders of one part, expected one")
    return root / parts.train[0] if parts.train else None, root / parts.test[0], parts.left_out


def _check_no_lists(root: Path) -> None:
    """Raise InputError where lists beside the class folders tell the parts: to split anew would mix them."""
    lists = sorted(file.name for file in root.iterdir() if file.suffix.lower() in LISTS and part_of(file.stem))
    if len({part_of(name) for name in lists}) > 1:
        raise InputError(
            f"{root}: {', '.join(lists)} tell the parts but are not read; expected train/ and test/ folders"
        )


def _read(folder: Path, size: int | None, limit: int | None, seed: int) -> tuple[Names, Split]:
    """Read a folder of class folders; the names are those of the folders."""
    classes, seen = _folders(folder), {folder.resolve()}
    listed = [_pictures(one, seen) for one in classes]
    empty = [one.name for one, files in zip(classes, listed, strict=True) if not files]
    if not classes or empty:
        over = passed_over([folder])
        found = f"no picture in {', '.join(empty[:4])}" if empty else "no folder in it"
        found += f"; passed over {over}" if over else ""
        raise InputError(f"{folder}: expected one folder of pictures a class ({found}); {', '.join(ENDINGS)}")
    if len(classes) < 2:
        raise InputError(f"{folder}: one class folder {classes[0].name!r}, expected two or more")
    for one in classes:
        _check_is_class(one)
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in listed])
    files = [file for one in listed for file in one]
    chosen = balanced_indices(labels, min(limit or len(labels), len(labels)), seed)
    pixels = stack((str(file), _decoded(file, size)) for file in (files[i] for i in chosen))
    return class_names(one.name for one in classes), to_split(pixels, labels[chosen], folder)


def _decoded(file: Path, size: int | None) -> NDArray[np.uint8]:
    if not file.is_file():
        raise InputError(f"{file}: not a file, expected a picture; does it link to what is gone?")
    return decode(file, str(file), size)


def _check_is_class(folder: Path) -> None:
    """Raise InputError where what should be a class is divided into parts: their pictures would be mixed."""
    below = [one.name for one in _folders(folder) if part_of(one.name)]
    if "train" in map(part_of, below) and len({*map(part_of, below)}) > 1:
        names = " and ".join(below)
        raise InputError(f"{folder}: a class folder with {names} in it; expected the classes below the parts")


def _folders(folder: Path) -> list[Path]:
    """List the folders in a folder, by name, without hidden ones and what macOS adds to an archive."""
    return sorted(one for one in folder.iterdir() if one.is_dir() and not _hidden(one.name))


def passed_over(folders: Sequence[Path]) -> str:
    """Say how many files of the classes in some folders are no pictures by their endings; "" where all are."""
    classes = [one for folder in folders for one in _folders(folder)]
    others = [file for one in classes for file in _files(one, set()) if file.suffix.lower() not in ENDINGS]
    endings = Counter(file.suffix.lower() or "no ending" for file in others)
    counts = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(SHOWN))
    more = f", {len(endings) - SHOWN} more endings" if len(endings) > SHOWN else ""
    return f"{len(others)} file{'' if len(others) == 1 else 's'} ({counts}{more})" if others else ""


def _pictures(folder: Path, seen: set[Path]) -> list[Path]:
    """List the pictures in and below a folder, in the order of ImageFolder."""
    return [file for file in _files(folder, seen) if file.suffix.lower() in ENDINGS]


def _files(folder: Path, seen: set[Path]) -> list[Path]:
    """List the files in and below a folder, in that order, without hidden ones; links lead to no place twice."""
    folders, ahead = [], [folder]
    while ahead:
        one = ahead.pop()
        real = one.resolve()
        if real in seen:
            raise InputError(f"{one}: leads to {real}, which is read already; expected every folder once")
        seen.add(real)
        folders.append(one)
        ahead += _folders(one)
    return [file for one in sorted(folders, key=str) for file in sorted(one.iterdir()) if _is_file(file)]


def _is_file(file: Path) -> bool:
    return not _hidden(file.name) and not file.is_dir()


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
