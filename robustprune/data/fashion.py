"""Fashion-MNIST from IDX files: as torchvision stores them, or packed, as Debian's package installs them."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustprune.data.base import Data
from robustprune.data.convert import to_split
from robustprune.data.folders import data_root
from robustprune.errors import InputError, MissingData

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SYSTEM = Path("/usr/share/datasets/fashion-mnist")
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def fashion_mnist(root: str | Path | None = None, download: bool = False) -> Data:
    """Fashion-MNIST, 1 x 28 x 28, 60000 to train on and 10000 to test (torchvision or Debian files).

    Looked for in <root>/FashionMNIST/raw (where `download` puts it, through torchvision, which checks MD5
    sums), then in /usr/share/datasets/fashion-mnist. Raises MissingData where it is in neither. Source: Xiao,
    Rasul and Vollgraf 2017, arXiv 1708.07747, MIT.
    """
    folder = data_root(root)
    if download:
        _download(folder)
    for place in (folder / "FashionMNIST" / "raw", SYSTEM):
        found = [_present(place / name) for name in FILES]
        if all(found):
            return _assemble([path for path in found if path])
    raise MissingData(
        f"Fashion-MNIST is not in {folder}/FashionMNIST/raw nor in {SYSTEM}: "
        "call fashion_mnist(download=True) once, or install the Debian package dataset-fashion-mnist"
    )


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file (LeCun's format) of bytes, packed if its name ends in .gz; InputError if it is broken."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise InputError(f"{path}: not an IDX file of bytes (starts with {raw[:4].hex()}, expected 000008..)")
    start = 4 + 4 * raw[3]
    shape = tuple(int(length) for length in np.frombuffer(raw[4:start], dtype=">u4"))
    if len(shape) != raw[3] or len(raw) - start != int(np.prod(shape, dtype=np.int64)):
        raise InputError(f"{path}: {len(raw)} bytes do not hold an array of {shape}; the file is damaged")
    return np.frombuffer(raw, dtype=np.uint8, offset=start).reshape(shape)


def _present(path: Path) -> Path | None:
    packed = path.with_name(path.name + ".gz")
    return next((candidate for candidate in (path, packed) if candidate.is_file()), None)


def _assemble(files: list[Path]) -> Data:
    images, labels = files[0::2], files[1::2]
    train, test = (to_split(read_idx(x), read_idx(y), x) for x, y in zip(images, labels, strict=True))
    source = f"Fashion-MNIST: {len(train)} training and {len(test)} test images"
    return Data("fashion-mnist", CLASSES, train, test, source)


def _download(folder: Path) -> None:
    from torchvision.datasets import FashionMNIST

    try:
        FashionMNIST(folder, download=True)
    except (OSError, RuntimeError) as error:
        raise MissingData(f"Fashion-MNIST could not be downloaded to {folder}: {error}") from error
