"""Arrays, as they come from files, made into images and labels as the program wants them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustprune.data.base import MOST_CLASSES, Split
from robustprune.data.naming import about
from robustprune.errors import InputError

CHANNELS = (1, 3)

PACKED, LARGE = 100, 2**30
"""A file that grows more than PACKED times, to more than LARGE bytes, holds no images."""


def is_bomb(packed: int, size: int) -> bool:
    """Tell whether what has `packed` bytes and would have `size`, unpacked, is not worth unpacking.

    >>> is_bomb(10**6, 10**9), is_bomb(10**7, 10**10)
    (False, True)
    """
    return size > LARGE and size > PACKED * packed


def to_split(pixels: NDArray[Any], labels: NDArray[Any], where: str | Path) -> Split:
    """Return images with labels, see `to_images` and `to_labels`; every InputError names `where`."""
    with about(where):
        return Split(to_images(pixels, str(where)), to_labels(labels, str(where)))


def to_images(array: NDArray[Any], where: str) -> Tensor:
    """Return (n, C, H, W) float32 images from an array of pixels.

    `array` is uint8 (0..255, divided by 255) or floating (0..1, kept), shaped (n, H, W), (n, H, W, C) or (n, C, H, W)
    with C 1 or 3; where both readings are possible, channels are last. `where` names the source in the InputError.

    >>> to_images(np.full((2, 8, 8, 3), 255, np.uint8), "here").shape
    torch.Size([2, 3, 8, 8])
    """
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{where}: pixels are {array.dtype}, expected uint8 (0..255) or floating (0..1)")
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim == 4 and array.shape[3] in CHANNELS:
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in CHANNELS:
        raise InputError(
            f"{where}: images are {array.shape}, expected (n, H, W), (n, H, W, C) or (n, C, H, W), C 1 or 3"
        )
    images = np.ascontiguousarray(array, dtype=np.float32)
    return torch.from_numpy(images / np.float32(255) if array.dtype == np.uint8 else images)


def to_labels(array: NDArray[Any], where: str) -> Tensor:
    """Return (n,) int64 labels from an integer array of n entries, shaped (n,) or (n, 1), counted from 0.

    Raises InputError for anything else, and for samples that have no label, which -1 and NaN stand for.

    >>> to_labels(np.array([[1], [0]], np.uint8), "here").tolist()
    [1, 0]
    """
    if not np.issubdtype(array.dtype, np.integer) or array.ndim == 0 or array.size != len(array):
        missing = np.isnan(array).sum() if np.issubdtype(array.dtype, np.floating) else 0
        some = f", {missing} of them NaN" if missing else ""
        raise InputError(f"{where}: labels are {array.dtype} {array.shape}{some}, expected integers (n,)")
    if array.size and array.min() < 0:
        kind = "-1, so these samples have no label" if array.min() == -1 else "negative"
        raise InputError(f"{where}: {np.sum(array < 0)} of {array.size} labels are {kind}; expected 0 or more")
    if array.size and array.max() >= MOST_CLASSES:
        raise InputError(f"{where}: label {array.max()}, expected class numbers from 0, below {MOST_CLASSES:,}")
    return torch.from_numpy(array.reshape(-1).astype(np.int64))
