"""Encoded pictures, decoded at their full depth or refused.

Files are input from outside: nothing in them is trusted, and nothing is guessed. A picture of another depth or size,
or of several frames, is refused rather than clipped, stretched or cut in silence.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from robustprune.data.naming import legible
from robustprune.errors import InputError

FORMATS = ("PNG", "JPEG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
"""Those whose depth can be told before they are decoded."""


def decode(source: Path | bytes, where: str, size: int | None = None) -> NDArray[np.uint8]:
    """Decode one picture to (H, W) where it is grey, else to (H, W, 3); transparency is dropped.

    With `size` the middle of it is scaled to (size, size). Raises InputError for a broken file, a decompression bomb,
    several frames, and more than 8 bits a channel.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(stream, formats=FORMATS) as picture:
                _check(picture, where)
                picture.load()
                picture.info.pop("transparency", None)
                plain = picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")
    except InputError:
        raise
    except Exception as error:  # what a decoder raises on a damaged file is not bounded
        reason = f"expected {', '.join(FORMATS)}" if isinstance(error, UnidentifiedImageError) else error
        raise InputError(legible(f"{where}: not a readable picture ({reason})")) from error
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


def _check(picture: Image.Image, where: str) -> None:
    """Raise InputError for what would lose something on the way to 8 bits a channel."""
    if _deep(picture):
        raise InputError(f"{where}: more than 8 bits a channel, expected 8 bits a channel; convert it first")
    frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)  # a camera's JPEG with its previews
    if frames > 1:
        raise InputError(f"{where}: a picture of {frames} frames, expected one")


def _deep(picture: Image.Image) -> bool:
    """Tell whether a picture has more than 8 bits a channel; the mode alone does not, since colours are cut to 8."""
    if picture.mode[0] in "IF":
        return True
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return any(bits > 8 for bits in picture.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, ()))
    for tile in getattr(picture, "tile", ()):
        stated = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if picture.format == "PNG" and ";16" in str(stated[0]):
            return True
        if picture.format == "PPM" and any(isinstance(one, int) and one > 255 for one in stated[1:]):
            return True
    return False
