"""Arrays and encoded pictures, as they come from files, made into images as the program wants them.

Files are input from outside: nothing in them is trusted, and nothing is guessed. A picture of another depth
or size is refused rather than clipped or stretched in silence.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from robustprune.errors import InputError

CHANNELS = (1, 3)


def to_images(array: NDArray[Any], where: str) -> Tensor:
    """Return (n, C, H, W) float32 images from an array of pixels.

    `array` is uint8 (0..255, divided by 255) or floating (0..1, kept), shaped (n, H, W), (n, H, W, C) or (n,
    C, H, W) with C 1 or 3; where both readings are possible, channels are last. `where` names the source in
    the InputError.

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
    """Return (n,) int64 labels from an integer array of n entries, shaped (n,) or (n, 1)."""
    if not np.issubdtype(array.dtype, np.integer) or array.size != len(array):
        raise InputError(f"{where}: labels are {array.dtype} {array.shape}, expected integers (n,)")
    return torch.from_numpy(array.reshape(-1).astype(np.int64))


def decode(source: Path | bytes, where: str, size: int | None = None) -> NDArray[np.uint8]:
    """Decode one picture to (H, W) where it is grey, else to (H, W, 3); transparency is dropped.

    With `size` the middle of it is scaled to (size, size). Raises InputError for a broken file, a
    decompression bomb and more than 8 bits a channel.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(stream) as picture:
                if picture.mode[0] in "IF":
                    raise InputError(
                        f"{where}: picture mode {picture.mode}, expected 8 bits a channel; convert it first"
                    )
                picture.load()
                plain = picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise InputError(f"{where}: not a readable picture ({error})") from error
    if size is not None:
        plain = ImageOps.fit(plain, (size, size), method=Image.Resampling.BICUBIC)
    return np.asarray(plain)


def stack(pictures: Iterable[tuple[str, NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Return named pictures of one size as one array, (n, H, W) if all are grey, else (n, H, W, 3).

    Raises InputError naming the first picture whose size differs.
    """
    named = list(pictures)
    first, shape = named[0][0], named[0][1].shape[:2]
    for name, pixels in named:
        if pixels.shape[:2] != shape:
            sizes = f"{pixels.shape[0]} x {pixels.shape[1]}, {first} is {shape[0]} x {shape[1]}"
            raise InputError(f"{name} is {sizes}: expected one size; pass size=... to scale them")
    if all(pixels.ndim == 2 for _, pixels in named):
        return np.stack([pixels for _, pixels in named])
    return np.stack([pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2) for _, pixels in named])
