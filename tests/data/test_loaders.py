"""Every source gives back the pixels that were put in, and says in one line what is missing or damaged."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from robustprune import data as sources
from robustprune.data import cifar, count_shared, data_root, fashion
from robustprune.errors import InputError, MissingData


@pytest.fixture
def pixels():
    """Twenty coloured pictures of two classes, no two alike."""
    return np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)


def as_images(array):
    return torch.from_numpy(array.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255))


def png(array):
    import io

    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def write_folder(root, pixels, labels):
    for number, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = root / ("cat", "dog")[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{number:03}.png")


def write_parquet(path, pixels, labels, notes=None, wrap=True):
    cells = [{"bytes": png(picture), "path": None} if wrap else png(picture) for picture in pixels]
    table = pa.table({"image": cells, "label": list(labels)})
    pq.write_table(table.replace_schema_metadata(notes), path)


def write_idx(path, array, pack=False):
    header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    raw = header + array.astype(np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(raw) if pack else raw)


def test_the_root_is_the_argument_then_the_variable_then_the_cache(monkeypatch):
    monkeypatch.setenv("ROBUSTPRUNE_DATA", "/from/variable")
    assert data_root("/from/argument") == Path("/from/argument")
    assert data_root() == Path("/from/variable")
    monkeypatch.delenv("ROBUSTPRUNE_DATA")
    assert data_root() == Path.home() / ".cache/robustprune/data"


def test_digits_are_those_of_scikit_learn_split_without_overlap():
    digits, original = sources.digits(), load_digits()
    known = {tuple(image.ravel()): label for image, label in zip(original.images, original.target, strict=True)}
    for part, size in ((digits.train, 1197), (digits.test, 600)):
        assert len(part) == size
        for image, label in zip(part.x, part.y, strict=True):
            assert known[tuple((image.double() * 16).flatten().tolist())] == int(label)
    assert count_shared(digits.test, digits.train) == 0
    assert digits.test.hash == sources.digits().test.hash


@pytest.mark.parametrize("pack", [False, True])
def test_fashion_mnist_reads_plain_and_packed_files(tmp_path, monkeypatch, pack):
    images, labels = np.arange(3 * 28 * 28).reshape(3, 28, 28) % 256, np.array([9, 0, 4])
    place = tmp_path / "system" if pack else tmp_path / "FashionMNIST" / "raw"
    for name in fashion.FILES:
        file = place / (name + ".gz" * pack)
        write_idx(file, images if "images" in name else labels, pack)
    monkeypatch.setattr(fashion, "SYSTEM", tmp_path / "system")
    found = sources.fashion_mnist(tmp_path)
    assert torch.equal(found.test.x, torch.from_numpy(images[:, None].astype(np.float32) / np.float32(255)))
    assert found.train.y.tolist() == [9, 0, 4]
    assert found.classes[9] == "Ankle boot"


def test_damaged_idx_files_are_refused(tmp_path):
    short, other = tmp_path / "short", tmp_path / "other"
    write_idx(short, np.zeros((2, 3)))
    short.write_bytes(short.read_bytes()[:-1])
    other.write_bytes(b"\x89PNG....")
    (tmp_path / "bad.gz").write_bytes(b"\x1f\x8b\x08broken")
    for file, complaint in (
        (short, "damaged"),
        (other, "not an IDX"),
        (tmp_path / "bad.gz", "cannot be read"),
    ):
        with pytest.raises(InputError, match=complaint):
            fashion.read_idx(file)


def test_what_is_missing_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion, "SYSTEM", tmp_path / "nowhere")
    with pytest.raises(MissingData, match="dataset-fashion-mnist"):
        sources.fashion_mnist(tmp_path)
    with pytest.raises(MissingData, match="download=True"):
        sources.cifar10(tmp_path)
    for loader in (sources.npz, sources.image_folder, sources.parquet):
        with pytest.raises(MissingData, match="no such"):
            loader(tmp_path / "absent")


def test_cifar_subsets_are_read_and_named(tmp_path, pixels):
    big = np.tile(pixels[:, :1, :1], (1, 32, 32, 1))
    (tmp_path / "cifar10").mkdir()
    np.savez(tmp_path / "cifar10" / cifar.TRAIN, x=big, y=np.arange(20) % 10)
    np.savez(tmp_path / "cifar10" / cifar.TEST, x=big[:5], y=np.arange(5))
    found = sources.cifar10(tmp_path)
    assert torch.equal(found.test.x, as_images(big[:5]))
    assert "first 20 training and the first 5 test" in found.source


def test_official_cifar_is_read_only_if_its_sums_agree(tmp_path):
    folder = tmp_path / cifar.OFFICIAL
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"cos\nsystem\n(S'touch /tmp/never'\ntR.")
    with pytest.raises(MissingData, match="missing or damaged"):
        sources.cifar10(tmp_path)


def test_npz_of_both_layouts(tmp_path, pixels):
    labels = np.arange(20) % 2
    np.savez(tmp_path / "keras.npz", x_train=pixels, y_train=labels[:, None], x_test=pixels[:4], y_test=labels[:4])
    keras = sources.npz(tmp_path / "keras.npz")
    assert torch.equal(keras.train.x, as_images(pixels))
    assert keras.test.y.tolist() == [0, 1, 0, 1]
    np.savez(tmp_path / "plain.npz", x=as_images(pixels).numpy(), y=labels, classes=["even", "odd"])
    plain = sources.npz(tmp_path / "plain.npz", test_share=0.25)
    assert (len(plain.train), len(plain.test), plain.classes) == (15, 5, ("even", "odd"))
    assert set(plain.train.hashes() + plain.test.hashes()) == set(keras.train.hashes())


def test_a_review_measures_on_every_image_of_a_single_set(tmp_path, pixels):
    np.savez(tmp_path / "test.npz", x=pixels, y=np.arange(20) % 2)
    found = sources.load_data(tmp_path / "test.npz", test_share=1)
    assert torch.equal(found.test.x, as_images(pixels))
    assert found.source == "test.npz: 20 images, all of them measured on"
    with pytest.raises(InputError, match="test share 0: expected a number above 0, up to 1"):
        sources.load_data(tmp_path / "test.npz", test_share=0)


def test_npz_of_a_folder_with_two_files(tmp_path, pixels):
    for part, rows in (("train", slice(12)), ("test", slice(12, 20))):
        np.savez(tmp_path / f"{part}.npz", x=pixels[rows], y=np.arange(20)[rows] % 2)
    found = sources.load_data(tmp_path)
    assert torch.equal(found.test.x, as_images(pixels[12:]))


def test_npz_that_would_run_code_or_is_something_else_is_refused(tmp_path, pixels):
    np.savez(tmp_path / "pickle.npz", x=np.array([{}], dtype=object), y=np.zeros(1, np.int64))
    np.savez(tmp_path / "names.npz", images=pixels, y=np.zeros(20, np.int64))
    np.savez(tmp_path / "wide.npz", x=pixels.astype(np.uint16), y=np.zeros(20, np.int64))
    np.savez(tmp_path / "bytes.npz", x=pixels.astype(np.float32), y=np.arange(20) % 2)
    np.savez(tmp_path / "soft.npz", x=pixels, y=np.full(20, 0.5))
    (tmp_path / "text.npz").write_text("hello")
    complaints = {
        "pickle": "not an npz file of plain arrays",
        "names": "has no x, only images, y",
        "wide": "uint16, expected uint8",
        "bytes": "pixels from 0 to 255",
        "soft": "labels are float64",
        "text": "not an npz file",
    }
    for name, complaint in complaints.items():
        with pytest.raises(InputError, match=complaint):
            sources.npz(tmp_path / f"{name}.npz")


def test_image_folders_give_the_pixels_back(tmp_path, pixels):
    labels = [0, 1] * 10
    write_folder(tmp_path / "train", pixels[:12], labels[:12])
    write_folder(tmp_path / "val", pixels[12:], labels[12:])
    found = sources.image_folder(tmp_path)
    assert found.classes == ("cat", "dog")
    assert torch.equal(found.train.x, as_images(pixels[:12])[[*range(0, 12, 2), *range(1, 12, 2)]])
    assert found.test.y.tolist() == [0] * 4 + [1] * 4


def test_one_image_folder_is_split_and_limited(tmp_path, pixels):
    write_folder(tmp_path, pixels, [0, 1] * 10)
    found = sources.image_folder(tmp_path, limit=8)
    assert (found.train.y.tolist(), found.test.y.tolist()) == ([0, 0, 1, 1], [0, 0, 1, 1])
    assert count_shared(found.train, found.test) == 0


def test_grey_pictures_have_one_channel(tmp_path, pixels):
    write_folder(tmp_path, pixels[..., 0], [0, 1] * 10)
    assert sources.image_folder(tmp_path).train.x.shape == (10, 1, 6, 5)
    Image.fromarray(pixels[0]).save(tmp_path / "cat" / "colour.png")
    mixed = sources.image_folder(tmp_path)
    assert mixed.train.x.shape[1] == 3


def test_pictures_of_two_sizes_need_a_size(tmp_path, pixels):
    write_folder(tmp_path, pixels, [0, 1] * 10)
    Image.fromarray(np.full((40, 80, 3), 128, np.uint8)).save(tmp_path / "dog" / "zz.png")
    with pytest.raises(InputError, match=r"zz.png is 40 x 80, .* is 6 x 5: .*size="):
        sources.image_folder(tmp_path)
    found = sources.image_folder(tmp_path, size=4)
    assert found.train.x.shape[1:] == (3, 4, 4)
    assert any(torch.allclose(image, torch.tensor(128 / 255)) for image in [*found.train.x, *found.test.x])


def test_broken_deep_and_explosive_pictures_are_refused(tmp_path, pixels, monkeypatch):
    write_folder(tmp_path, pixels, [0, 1] * 10)
    bad = tmp_path / "cat" / "bad.png"
    bad.write_bytes(png(pixels[0])[:60])
    with pytest.raises(InputError, match=r"bad\.png: not a readable picture"):
        sources.image_folder(tmp_path)
    Image.fromarray(np.full((6, 5), 60000, np.uint16)).save(bad)
    with pytest.raises(InputError, match="expected 8 bits a channel"):
        sources.image_folder(tmp_path)
    bad.unlink()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(InputError, match="decompression bomb"):
        sources.image_folder(tmp_path)


def test_image_folders_of_one_class_or_two_sets_of_classes_are_refused(tmp_path, pixels):
    write_folder(tmp_path / "a" / "train", pixels[:4], [0, 0, 1, 1])
    write_folder(tmp_path / "a" / "test", pixels[:4], [0, 0, 0, 0])
    with pytest.raises(InputError, match="two or more"):
        sources.image_folder(tmp_path / "a")
    (tmp_path / "a" / "test" / "cow").mkdir()
    Image.fromarray(pixels[0]).save(tmp_path / "a" / "test" / "cow" / "0.png")
    with pytest.raises(InputError, match=r"differ: \['cow', 'dog'\]"):
        sources.image_folder(tmp_path / "a")
    with pytest.raises(InputError, match="one folder of pictures a class"):
        sources.image_folder(tmp_path / "a" / "test" / "cow")


@pytest.mark.parametrize("wrap", [True, False])
def test_parquet_gives_pixels_labels_and_names_back(tmp_path, pixels, wrap):
    notes = {"huggingface": json.dumps({"info": {"features": {"label": {"names": ["cat", "dog"]}}}})}
    write_parquet(tmp_path / "train-00000.parquet", pixels[:12], [0, 1] * 6, notes, wrap)
    write_parquet(tmp_path / "test-00000.parquet", pixels[12:], [1, 0] * 4, notes, wrap)
    found = sources.load_data(tmp_path)
    assert torch.equal(found.train.x, as_images(pixels[:12]))
    assert torch.equal(found.test.x, as_images(pixels[12:]))
    assert found.test.y.tolist() == [1, 0] * 4
    assert found.classes == ("cat", "dog")


def test_one_parquet_file_is_split_and_limited(tmp_path, pixels):
    write_parquet(tmp_path / "all.parquet", pixels, [0, 1] * 10)
    whole, part = (
        sources.parquet(tmp_path / "all.parquet"),
        sources.parquet(tmp_path / "all.parquet", limit=4),
    )
    assert (len(whole.train), len(whole.test), whole.classes) == (10, 10, ("0", "1"))
    assert (part.train.y.tolist(), part.test.y.tolist()) == ([0, 1], [0, 1])


def test_other_parquet_is_refused(tmp_path):
    pq.write_table(pa.table({"text": ["a"], "label": [0]}), tmp_path / "text.parquet")
    pq.write_table(pa.table({"image": ["a", "b"], "label": [0, 1]}), tmp_path / "words.parquet")
    (tmp_path / "junk.parquet").write_bytes(b"junk")
    complaints = {
        "text": "has columns text, label",
        "words": "row 0: expected an encoded",
        "junk": "not readable",
    }
    for name, complaint in complaints.items():
        with pytest.raises(InputError, match=complaint):
            sources.parquet(tmp_path / f"{name}.parquet")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch, pixels):
    write_parquet(tmp_path / "all.parquet", pixels, [0, 1] * 10)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'robustprune\[parquet\]'"):
        sources.parquet(tmp_path / "all.parquet")


def test_load_data_knows_names_and_refuses_others(tmp_path):
    assert sources.load_data("digits").name == "digits"
    with pytest.raises(InputError, match="digits, fashion-mnist, cifar10"):
        sources.load_data("cifar100")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InputError, match=r"expected \.npz"):
        sources.load_data(tmp_path / "notes.txt")


@pytest.mark.parametrize("below", ["", "pneumonia"])
def test_pneumonia_is_medmnists_file_and_any_other_of_that_layout_loads(tmp_path, below, pixels):
    (tmp_path / below).mkdir(exist_ok=True)
    file, labels = tmp_path / below / "pneumoniamnist.npz", (np.arange(20) % 2).astype(np.uint8)[:, None]
    grey = pixels[..., 0]
    parts = {"train": grey[:12], "val": grey[12:14], "test": grey[14:]}
    marks = {"train": labels[:12], "val": labels[12:14], "test": labels[14:]}
    named = {f"{part}_images": one for part, one in parts.items()} | {f"{p}_labels": one for p, one in marks.items()}
    np.savez_compressed(file, **named)
    for data in (sources.pneumonia(tmp_path), sources.load_data(file)):
        assert torch.equal(data.train.x, as_images(pixels[:12, :, :, :1]))
        assert torch.equal(data.test.x, as_images(pixels[14:, :, :, :1]))
        assert data.test.y.tolist() == [0, 1] * 3
    assert sources.pneumonia(tmp_path).classes == ("normal", "pneumonia")
    file.unlink()
    with pytest.raises(MissingData, match=r"get pneumoniamnist\.npz from medmnist\.com"):
        sources.pneumonia(tmp_path)


@pytest.mark.parametrize("name", sources.DATASETS)
def test_every_data_set_says_in_a_line_what_it_is(name):
    assert (sources.DATASETS[name].__doc__ or "").partition("\n")[0].endswith(".")


def test_real_data_where_they_are(monkeypatch):
    import os

    if not os.environ.get("ROBUSTPRUNE_DATA"):
        pytest.skip("ROBUSTPRUNE_DATA is not set")
    for loader, shape in ((sources.cifar10, (3, 32, 32)), (sources.fashion_mnist, (1, 28, 28))):
        try:
            found = loader()
        except MissingData as missing:
            pytest.skip(str(missing))
        assert found.test.x.shape[1:] == shape
        assert len(found.classes) == 10
        assert found.test.y.unique().tolist() == list(range(10))
        assert count_shared(found.test, found.train) == 0


def test_fashion_mnist_agrees_with_torchvision_where_it_is():
    from torchvision.datasets import FashionMNIST

    try:
        reference = FashionMNIST(data_root(), train=False)
    except RuntimeError as missing:
        pytest.skip(str(missing))
    found = sources.fashion_mnist().test
    assert torch.equal(found.x, reference.data[:, None].float() / 255)
    assert torch.equal(found.y, reference.targets)
