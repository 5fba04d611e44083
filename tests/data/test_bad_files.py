"""Files that lie, are damaged or are something else end at once, in one line that names them."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.lib import format as npy
from PIL import Image

from robustprune.data import Data, Split, load_data, npz
from robustprune.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 6, 5, 3), dtype=np.uint8)
LABELS = np.arange(8) % 2


def refused(path: Path, complaint: str, name: str | None = None) -> None:
    """Loading ends in one legible line, which names the file."""
    with pytest.raises(InputError, match=complaint) as caught:
        load_data(path)
    text = str(caught.value)
    assert (name or path.name) in text
    assert text.isprintable()
    assert len(text) < 600


def header(shape: tuple[int, ...], dtype: str = "|u1", version: tuple[int, int] = (1, 0)) -> bytes:
    stream = io.BytesIO()
    write = {(1, 0): npy.write_array_header_1_0, (2, 0): npy.write_array_header_2_0}[version]
    write(stream, {"shape": shape, "fortran_order": False, "descr": dtype})
    return stream.getvalue()


def write_members(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def array_bytes(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (LABELS + 2**40, "label 1099511627777, expected class numbers from 0, below 100,000"),
        (LABELS + 2**31, "label 2147483649, expected class numbers"),
        (LABELS.astype(np.uint64) + np.uint64(2**63), "label 9223372036854775809, expected class numbers"),
        (np.array(3), r"labels are int64 \(\), expected integers \(n,\)"),
        (LABELS - 1, "4 of 8 labels are -1, so these samples have no label"),
        (LABELS - 2, "8 of 8 labels are negative"),
        (LABELS / 2, r"labels are float64 \(8,\), expected integers"),
        (np.where(LABELS, np.nan, 1), r"labels are float64 \(8,\), 4 of them NaN"),
        (LABELS[:7], r"labels are torch.int64 \(7,\), expected torch.int64 \(8,\)"),
        (np.eye(8, dtype=int), r"labels are int64 \(8, 8\)"),
        (np.array(["cat"] * 8), "labels are <U3"),
        (np.array([0, 1] * 4, dtype=object), "y.npy holds Python objects"),
    ],
)
@pytest.mark.parametrize("keras", [False, True])
def test_labels_that_are_none(tmp_path, labels, complaint, keras):
    parts = {"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS, "y_test": labels} if keras else {}
    np.savez(tmp_path / "bad.npz", **parts or {"x": PIXELS, "y": labels})
    refused(tmp_path / "bad.npz", complaint.replace("y.npy", "y_test.npy") if keras else complaint)


@pytest.mark.parametrize("label", [0, 7])
def test_one_class_is_too_few(tmp_path, label):
    np.savez(tmp_path / "bad.npz", x=PIXELS, y=np.full(8, label))
    refused(tmp_path / "bad.npz", f"all labels are {label}, expected two classes or more")


@pytest.mark.parametrize(
    ("pixels", "complaint"),
    [
        (PIXELS[:0], r"images are torch.float32 \(0, 3, 6, 5\)"),
        (PIXELS[..., :2], r"images are \(8, 6, 5, 2\), expected"),
        (PIXELS[:, 0, 0], r"images are \(8, 3\), expected"),
        (PIXELS[:, None], r"images are \(8, 1, 6, 5, 3\), expected"),
        (np.array(0.5), r"images are \(\), expected"),
        (PIXELS.astype(np.int64), "pixels are int64, expected uint8"),
        (PIXELS > 9, "pixels are bool"),
        (PIXELS / 1.0, "pixels from 0 to 255"),
        (PIXELS / 127.5 - 1, "pixels from -1 to 1"),
        (np.where(PIXELS > 9, np.nan, 0.5), "pixels from nan to nan"),
        (PIXELS + 1j, "pixels are complex128"),
        (np.array([None] * 8), "x.npy holds Python objects"),
    ],
)
def test_pixels_that_are_none(tmp_path, pixels, complaint):
    np.savez(tmp_path / "bad.npz", x=pixels, y=LABELS[: len(pixels)] if pixels.ndim else LABELS)
    refused(tmp_path / "bad.npz", complaint)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (header((2**28, 2**10, 2**10)), "x.npy declares uint8 .*, 281,474,976,710,656 bytes, but holds 0"),
        (header((2**40,), version=(2, 0)) + b"some", "bytes, but holds 4"),
        (header((-1, 6, 5)), "but holds 0"),
        (b"hello, I am no array", "not an npz file of plain arrays"),
        (b"", "not an npz file of plain arrays"),
        (b"\x93NUMPY\x01\x00\x10\x00{'descr': ((((((", "not an npz file of plain arrays"),
        (b"\x93NUMPY\x09\x00\x10\x00", "not an npz file of plain arrays"),
        (array_bytes(PIXELS)[:-1], "but holds 719"),
    ],
)
def test_members_that_are_no_arrays(tmp_path, content, complaint):
    write_members(tmp_path / "bad.npz", x=content, y=array_bytes(LABELS))
    refused(tmp_path / "bad.npz", complaint)


def test_a_bomb_is_not_unpacked(tmp_path):
    """64 KiB of zeros are there; the directory of the archive says that they are 4 GiB, unpacked."""
    path = tmp_path / "bomb.npz"
    write_members(path, x=bytes(2**16), y=array_bytes(LABELS))
    raw, size = path.read_bytes(), (2**16).to_bytes(4, "little")
    assert raw.count(size) == 2
    path.write_bytes(raw.replace(size, (2**32 - 2).to_bytes(4, "little")))
    refused(path, "x.npy grows from .* to 4,294,967,294 bytes")


def test_what_else_is_in_an_archive_stays_unopened(tmp_path):
    write_members(tmp_path / "a.npz", x=array_bytes(PIXELS), y=array_bytes(LABELS), notes=b"no array")
    assert len(npz(tmp_path / "a.npz", test_share=1).test) == 8


@pytest.mark.parametrize("where", [slice(0, 40), slice(100, 140), slice(-60, -20), slice(200, None)])
def test_damage_anywhere(tmp_path, where):
    np.savez_compressed(tmp_path / "bad.npz", x=PIXELS, y=LABELS)
    raw = bytearray((tmp_path / "bad.npz").read_bytes())
    raw[where] = bytes(len(raw[where])) if where.stop else b""
    (tmp_path / "bad.npz").write_bytes(raw)
    refused(tmp_path / "bad.npz", "not an npz file of plain arrays")


@pytest.mark.parametrize("classes", [np.array("cat"), np.array([["cat", "dog"]]), np.array([0.5, 1.5])])
def test_names_that_are_none(tmp_path, classes):
    np.savez(tmp_path / "bad.npz", x=PIXELS, y=LABELS, classes=classes)
    refused(tmp_path / "bad.npz", r"expected their names \(k,\)")


def test_one_name_for_two_classes_is_too_few(tmp_path):
    np.savez(tmp_path / "bad.npz", x=PIXELS, y=LABELS, classes=["cat"])
    refused(tmp_path / "bad.npz", "label 1, expected 0 to 0")


def png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


CELLS = [png(picture) for picture in PIXELS]


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"image": CELLS}, "has columns image, expected one of label"),
        ({"image": CELLS, "label": [None] * 8}, r"column label: 8 of 8 samples have no label \(NULL\)"),
        ({"image": CELLS, "label": [0, 1, None, 1, 0, 1, 0, 1]}, "1 of 8 samples have no label"),
        ({"image": CELLS, "label": [-1] * 8}, "8 of 8 labels are -1, so these samples have no label"),
        ({"image": CELLS, "label": ["cat", "dog"] * 4}, "labels are object"),
        ({"image": CELLS, "label": [0.0, 1.5] * 4}, "labels are float64"),
        ({"image": CELLS, "label": [0, 2**40] * 4}, "label 1099511627776, expected class numbers"),
        ({"image": CELLS, "label": [[0], [1]] * 4}, "labels are object"),
        ({"image": CELLS, "label": [3] * 8}, "all labels are 3"),
        ({"image": [*CELLS[:7], None], "label": LABELS}, "row 7: expected an encoded picture, .* found NoneType"),
        ({"image": [*CELLS[:7], CELLS[7][:50]], "label": LABELS}, "row 7: not a readable picture"),
        ({"image": [{"bytes": None, "path": "a.png"}] * 8, "label": LABELS}, "row 0: expected an encoded picture"),
        ({"image": CELLS[:0], "label": LABELS[:0]}, "declares 0 rows"),
    ],
)
def test_tables_that_are_none(tmp_path, columns, complaint):
    pq.write_table(pa.table(columns), tmp_path / "bad.parquet")
    refused(tmp_path / "bad.parquet", complaint)


def test_a_table_of_more_rows_than_bytes_is_not_unpacked(tmp_path):
    repeated = pa.DictionaryArray.from_arrays(np.zeros(10**6, np.int32), [CELLS[0]])
    pq.write_table(pa.table({"image": repeated, "label": np.zeros(10**6, np.int8)}), tmp_path / "bomb.parquet")
    refused(tmp_path / "bomb.parquet", "declares 1,000,000 rows, .* in")


def write_pictures(root: Path) -> None:
    for number, picture in enumerate(PIXELS):
        folder = root / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{number}.png")


SPOIL: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (lambda file: file.write_bytes(CELLS[0][:60]), "not a readable picture"),
    "text": (lambda file: file.write_text("hello"), "not a readable picture .expected PNG, JPEG"),
    "empty": (lambda file: file.write_bytes(b""), "not a readable picture"),
    "pipe": (os.mkfifo, "not a file, expected a picture"),
    "link to itself": (lambda file: file.symlink_to(file), "not a file, expected a picture"),
    "script": (lambda file: file.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 6\n"), "not a readable"),
}


@pytest.mark.parametrize("kind", SPOIL)
def test_files_that_are_no_pictures(tmp_path, kind):
    write_pictures(tmp_path)
    spoil, complaint = SPOIL[kind]
    spoil(tmp_path / "dog" / "zz.png")
    refused(tmp_path, complaint, "dog/zz.png")


def test_links_that_lead_in_circles_end_at_once(tmp_path):
    write_pictures(tmp_path)
    for name in ("one", "two", "three"):
        (tmp_path / "cat" / name).symlink_to(tmp_path, target_is_directory=True)
    refused(tmp_path, "which is read already; expected", "cat/")


def test_a_folder_that_is_linked_is_read(tmp_path):
    write_pictures(tmp_path / "real")
    (tmp_path / "subset").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "subset" / name).symlink_to(tmp_path / "real" / name, target_is_directory=True)
    assert len(load_data(tmp_path / "subset", test_share=1).test) == 8


def test_names_that_are_not_utf_8_are_escaped(tmp_path):
    write_pictures(tmp_path / "a")
    folder = tmp_path / os.fsdecode(b"caf\xe9\n")
    (tmp_path / "a").rename(folder)
    (folder / "cat").rename(folder / os.fsdecode(b"ch\xe4t"))
    found = load_data(folder)
    assert found.classes == (r"ch\udce4t", "dog")
    assert (found.name, found.source) == (
        r"caf\udce9\n",
        r"pictures in caf\udce9\n: 4 training and 4 test images",
    )
    (folder / "dog" / os.fsdecode(b"z\xff.png")).write_text("hello")
    refused(folder, "not a readable picture", r"dog/z\udcff.png")
    one = Split(found.test.x, found.test.y)
    with pytest.raises(InputError, match="no text that can be written"):
        Data("d", ("cat", os.fsdecode(b"\xff")), one, one, "")


def test_paths_that_are_none(tmp_path):
    for path, complaint in (
        (tmp_path / ("long" * 500), "cannot be read|neither a path"),
        (tmp_path / "with\0nul", "neither a path"),
        (tmp_path / "caf\udce9", "neither a path"),
    ):
        with pytest.raises(InputError, match=complaint) as caught:
            load_data(path)
        assert str(caught.value).isprintable()
    for ending in ("npz", "parquet"):
        os.mkfifo(tmp_path / f"pipe.{ending}")
        refused(tmp_path / f"pipe.{ending}", "no such file|not a file")
