"""Parquet tables of pictures, in the layout that Hugging Face data sets use."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustprune.data.base import Data, Split, balanced_indices, holdout
from robustprune.data.classes import Names, agreed, assembled, class_names, renumbered
from robustprune.data.convert import is_bomb, to_labels, to_split
from robustprune.data.folders import files_in
from robustprune.data.naming import about
from robustprune.data.parts import Parts, parts_of
from robustprune.data.pictures import decode, stack
from robustprune.errors import InputError, MissingData

IMAGE_NAMES, LABEL_NAMES = ("image", "img", "picture"), ("label", "labels", "fine_label", "class", "target")


@dataclass(frozen=True, kw_only=True)
class Table:
    """One file: cells with encoded pictures, labels as they count in its own `names` (() where it has none)."""

    file: Path
    cells: Any
    labels: NDArray[np.int64]
    names: Names


def parquet(
    path: str | Path,
    size: int | None = None,
    *,
    limit: int | None = None,
    test_share: float = 0.5,
    seed: int = 0,
) -> Data:
    """Pictures in a parquet file, or in a folder with train*.parquet and test*.parquet (or val, dev, eval).

    The part may stand anywhere in the names, such as cifar10-train-00000-of-00002.parquet; shards are put together.
    The image column (image or img) holds encoded pictures, as bytes or as {bytes, path}; the label column (label)
    integers. Class names are taken from a table's Hugging Face notes where it has them, and labels of several files
    are matched by them. A single set is split: `test_share` of each class, drawn with `seed`, is for testing. `size`
    and `limit` as for `image_folder`. Needs pyarrow.
    """
    place = Path(path)
    with about(place):
        if not place.exists():
            raise MissingData(f"{place}: no such file or folder; expected a .parquet file or a folder of them")
        files = {file.stem: file for file in (files_in(place, ".parquet") if place.is_dir() else [place])}
        if not files:
            raise MissingData(f"{place}: holds no .parquet file")
        parts = parts_of([*files]) if place.is_dir() else Parts(test=(place.stem,))
        train, test = ([_table(files[name]) for name in part] for part in (parts.train, parts.test))
        names = agreed(table.names for table in [*train, *test])
        whole = _read(test, names, size, limit, seed)
        sides = (_read(train, names, size, limit, seed), whole) if train else holdout(whole, test_share, seed)
        return assembled("parquet ", place, names, *sides, parts.left_out)


def _read(tables: Sequence[Table], names: Names, size: int | None, limit: int | None, seed: int) -> Split:
    """Decode the pictures of one part, no more than `limit` of them."""
    labels = np.concatenate([renumbered(table.labels, table.names, names, table.file) for table in tables])
    chosen = balanced_indices(labels, min(limit or len(labels), len(labels)), seed)
    pictures = stack((name, decode(raw, name, size)) for name, raw in _encoded(tables, chosen))
    return to_split(pictures, labels[chosen], tables[0].file)


def _encoded(tables: Sequence[Table], chosen: NDArray[np.int64]) -> Iterator[tuple[str, bytes]]:
    """Yield the chosen rows of all tables, counted through: where each is, and its encoded picture."""
    start = 0
    for table in tables:
        rows = chosen[(start <= chosen) & (chosen < start + len(table.labels))] - start
        start += len(table.labels)
        for row, cell in zip(rows, table.cells.take(rows).to_pylist(), strict=True):
            name, raw = f"{table.file}, row {row}", cell.get("bytes") if isinstance(cell, dict) else cell
            if not isinstance(raw, bytes):
                found = type(raw).__name__
                raise InputError(f"{name}: expected an encoded picture, bytes or {{bytes, path}}, found {found}")
            yield name, raw


def _table(file: Path) -> Table:
    """Open a file: all its labels, and pictures that are still encoded."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise InputError("parquet files need pyarrow: pip install 'robustprune[parquet]'") from error
    if not file.is_file():
        raise InputError(f"{file}: not a file, expected a parquet table")
    try:
        with pq.ParquetFile(file) as opened:
            notes, rows, packed = opened.schema_arrow.metadata, opened.metadata.num_rows, file.stat().st_size
            size = sum(opened.metadata.row_group(i).total_byte_size for i in range(opened.num_row_groups))
            image, label = (_column(opened.schema_arrow.names, names, file) for names in (IMAGE_NAMES, LABEL_NAMES))
            if not 1 <= rows <= packed or is_bomb(packed, size):
                raise InputError(f"{file}: declares {rows:,} rows, {size:,} bytes, in {packed:,} bytes")
            table = opened.read(columns=[image, label])
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        raise InputError(f"{file}: not readable as parquet ({error})") from error
    return Table(
        file=file,
        cells=table[image],
        labels=_labels(table[label], f"{file}, column {label}"),
        names=_names(notes, label),
    )


def _column(present: Sequence[str], names: Sequence[str], file: Path) -> str:
    for name in names:
        if present.count(name) == 1:
            return name
    raise InputError(f"{file}: has columns {', '.join(present)}, expected one of {', '.join(names)}")


def _labels(column: Any, where: str) -> NDArray[np.int64]:
    if column.null_count:
        raise InputError(f"{where}: {column.null_count} of {len(column)} samples have no label (NULL)")
    return to_labels(np.asarray(column), where).numpy()


def _names(notes: dict[bytes, bytes] | None, label: str) -> Names:
    """Names from the notes that Hugging Face's `datasets` leaves in the schema; () where there are none."""
    try:
        names = json.loads((notes or {})[b"huggingface"])["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()
    return class_names(names) if isinstance(names, list) else ()
