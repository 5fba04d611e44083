"""Folders of pictures, one folder a class, as torchvision's ImageFolder has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robustprune.data.base import Data, Split, balanced_indices, holdout, sizes
from robustprune.data.convert import decode, stack, to_images, to_labels
from robustprune.errors import InputError, MissingData

TRAIN_NAMES, TEST_NAMES = ("train", "training"), ("test", "testing", "val", "valid", "validation")


def image_folder(
    path: str | Path,
    size: int | None = None,
    *,
    limit: int | None = None,
    test_share: float = 0.5,
    seed: int = 0,
) -> Data:
    """Pictures in class folders, below train/ and test/ (or val/), or directly below `path`.

    Without train/ and test/ the pictures are split: `test_share` of each class, drawn with `seed`, is for
    testing. `size` scales the middle of each picture to (size, size); without it all must have one size.
    `limit` decodes no more than so many of each part, class-balanced. All grey gives one channel, else three.
    """
    root = Path(path)
    if not root.is_dir():
        raise MissingData(f"{root}: no such folder; expected class folders, or train/ and test/ with class folders")
    train, test = _child(root, TRAIN_NAMES), _child(root, TEST_NAMES)
    if train and test:
        classes, part = _read(train, size, limit, seed)
        names, rest = _read(test, size, limit, seed)
        if classes != names:
            raise InputError(
                f"{root}: classes of {train.name} and {test.name} differ: {sorted(set(classes) ^ set(names))}"
            )
    else:
        classes, whole = _read(root, size, limit, seed)
        part, rest = holdout(whole, test_share, seed)
    source = f"pictures in {root.name}: {sizes(part, rest)}"
    return Data(root.name, classes, part, rest, source)


def _child(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _read(folder: Path, size: int | None, limit: int | None, seed: int) -> tuple[tuple[str, ...], Split]:
    from torchvision.datasets import ImageFolder

    try:
        listing = ImageFolder(folder)
    except FileNotFoundError as error:
        raise InputError(f"{folder}: expected one folder of pictures a class ({error})") from error
    if len(listing.classes) < 2:
        raise InputError(f"{folder}: one class folder {listing.classes[0]!r}, expected two or more")
    labels = np.asarray(listing.targets)
    chosen = balanced_indices(labels, min(limit or len(labels), len(labels)), seed)
    files = [Path(listing.samples[i][0]) for i in chosen]
    pixels = stack((str(file), decode(file, str(file), size)) for file in files)
    split = Split(to_images(pixels, str(folder)), to_labels(labels[chosen], str(folder)))
    return tuple(listing.classes), split
