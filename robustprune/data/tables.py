"""Parquet tables of pictures, in the layout that Hugging Face data sets use."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from robustprune.data.base import Data, Split, balanced_indices, holdout, sizes
from robustprune.data.convert import decode, stack, to_images, to_labels
from robustprune.errors import InputError, MissingData

IMAGE_NAMES, LABEL_NAMES = ("image", "img", "picture"), ("label", "labels", "fine_label", "class", "target")


def parquet(
    path: str | Path,
    size: int | None = None,
    *,
    limit: int | None = None,
    test_share: float = 0.5,
    seed: int = 0,
) -> Data:
    """Pictures in a parquet file, or in a folder with train*.parquet and test*.parquet (or val*.parquet).

    The image column (image or img) holds encoded pictures, as bytes or as {bytes, path}; the label column
    (label) integers. Class names are taken from the table's Hugging Face notes where it has them. A single
    file, or a folder without these two parts, is split: `test_share` of each class, drawn with `seed`, is for
    testing. `size` and `limit` as for `image_folder`. Needs pyarrow.
    """
    place = Path(path)
    if not place.exists():
        raise MissingData(f"{place}: no such file or folder; expected a .parquet file or a folder of them")
    files = sorted(place.glob("*.parquet")) if place.is_dir() else [place]
    train = [file for file in files if file.name.startswith("train")]
    test = [file for file in files if file.name.startswith(("test", "val"))]
    if not files:
        raise MissingData(f"{place}: holds no .parquet file")
    if train and test:
        classes, part = _read(train, size, limit, seed)
        _, rest = _read(test, size, limit, seed)
    else:
        classes, whole = _read(files, size, limit, seed)
        part, rest = holdout(whole, test_share, seed)
    if not classes:
        classes = tuple(str(label) for label in range(1 + max(int(part.y.max()), int(rest.y.max()))))
    source = f"parquet {place.name}: {sizes(part, rest)}"
    return Data(place.stem, classes, part, rest, source)


def _read(files: list[Path], size: int | None, limit: int | None, seed: int) -> tuple[tuple[str, ...], Split]:
    table, where = _table(files), files[0].name
    image, label = _column(table, IMAGE_NAMES, where), _column(table, LABEL_NAMES, where)
    labels = to_labels(np.asarray(table[label]), f"{where}, column {label}").numpy()
    chosen = balanced_indices(labels, min(limit or len(labels), len(labels)), seed)
    rows = ((f"{where}, row {i}", cell) for i, cell in zip(chosen, table[image].take(chosen).to_pylist(), strict=True))
    return _classes(table, label), Split(_pictures(rows, size, where), to_labels(labels[chosen], where))


def _table(files: list[Path]) -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise InputError("parquet files need pyarrow: pip install 'robustprune[parquet]'") from error
    try:
        return pa.concat_tables([pq.read_table(file) for file in files])
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{files[0]}: not readable as parquet ({error})") from error


def _column(table: Any, names: tuple[str, ...], where: str) -> str:
    for name in names:
        if name in table.column_names:
            return name
    raise InputError(f"{where}: has columns {', '.join(table.column_names)}, expected one of {', '.join(names)}")


def _pictures(rows: Iterable[tuple[str, Any]], size: int | None, where: str) -> Any:
    pixels = stack((name, decode(_encoded(cell, name), name, size)) for name, cell in rows)
    return to_images(pixels, where)


def _encoded(cell: Any, where: str) -> bytes:
    raw = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(raw, bytes):
        raise InputError(f"{where}: expected an encoded picture, bytes or {{bytes, path}}, found {type(raw).__name__}")
    return raw


def _classes(table: Any, label: str) -> tuple[str, ...]:
    """Names from the notes that Hugging Face's `datasets` leaves in the schema; () where there are none."""
    try:
        notes = json.loads((table.schema.metadata or {})[b"huggingface"])
        return tuple(str(name) for name in notes["info"]["features"][label]["names"])
    except (KeyError, TypeError, ValueError):
        return ()
