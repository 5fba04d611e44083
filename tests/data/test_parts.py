"""Which files and folders are learned from and measured on, by their names; classes are one number in all of them."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from robustprune.data import load_data
from robustprune.data.parts import Parts, part_of, parts_of
from robustprune.errors import InputError

DARK, LIGHT = 40, 200


@pytest.mark.parametrize(
    ("part", "names"),
    {
        "train": ["train", "Train", "TRAIN", "training set", "x_train", "cifar10-train-00000-of-00002", "TrainImages"],
        "test": ["test", "Test-3", "cifar10Test", "test2017", "a.test.b", "TESTING"],
        "val": ["val", "VALID", "validation-0", "imagenet_val"],
        "dev": ["dev", "Dev2"],
        "eval": ["eval", "final_evaluation"],
        "": ["latest", "contest", "strain", "retrained", "device", "value", "medieval", "cat", "", "00000"],
    }.items(),
)
def test_parts_are_whole_words_in_any_spelling(part, names):
    assert {name: part_of(name) for name in names} == dict.fromkeys(names, part)


@pytest.mark.parametrize(
    ("names", "train", "test", "left_out"),
    [
        (["train", "test"], ["train"], ["test"], []),
        (["a-train", "a-dev"], ["a-train"], ["a-dev"], []),
        (["test", "train", "val"], ["train"], ["test"], ["val"]),
        (["extra", "test", "train"], ["train"], ["test"], ["extra"]),
        (
            ["train-0-of-2", "train-1-of-2", "val-0-of-1-0a9f"],
            ["train-0-of-2", "train-1-of-2"],
            ["val-0-of-1-0a9f"],
            [],
        ),
        (["train-0", "train-1", "test-0"], ["train-0", "train-1"], ["test-0"], []),
        (["train"], [], ["train"], []),
        (["0000", "0001"], [], ["0000", "0001"], []),
        (["train_test"], [], ["train_test"], []),
        (["part-0-of-2", "part-1-of-2"], [], ["part-0-of-2", "part-1-of-2"], []),
    ],
)
def test_names_that_tell(names, train, test, left_out):
    assert parts_of(names) == Parts(train=tuple(train), test=tuple(test), left_out=tuple(left_out))


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["val", "test"], "val, test do not tell what to learn from"),
        (["train", "other"], "do not tell"),
        (["test", "other"], "do not tell"),
        (["train_and_test", "test"], "'train_and_test' speaks of two parts, train and test"),
        (["fold1_train", "fold2_train", "fold1_test"], "fold1_train, fold2_train are those of several sets"),
        (["first", "second"], "first, second are those of several sets"),
        (["train-0-of-3", "train-2-of-3", "test-0-of-1"], "one of 3 shards, but there are 2"),
        (["train-0-of-1", "train-0-of-1-09ab", "test-0-of-1"], "one of 1 shards, but there are 2"),
        (["train", "train-0-of-1", "test"], "several sets"),
        ([f"set{'abcdef'[i]}" for i in range(6)], "seta, setb, setc, setd and 2 more"),
    ],
)
def test_names_that_do_not_tell(names, complaint):
    with pytest.raises(InputError, match=complaint):
        parts_of(names)


def grey(base, n=8):
    """Grey pictures, no two alike; the part that they are of shows in their brightness."""
    return np.stack([np.full((6, 6), base + i, np.uint8) for i in range(n)])


def encoded(picture):
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def write_npz(path, pixels, labels, names=()):
    np.savez(path, x=pixels, y=labels, **({"classes": np.array(names)} if names else {}))


def write_parquet(path, pixels, labels, names=()):
    table = pa.table({"image": [encoded(one) for one in pixels], "label": labels})
    notes = {"huggingface": json.dumps({"info": {"features": {"label": {"names": [*names]}}}})} if names else None
    pq.write_table(table.replace_schema_metadata(notes), path)


WRITERS = {".npz": write_npz, ".parquet": write_parquet}


@pytest.mark.parametrize("share", [0.5, 1])
@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize(
    ("train", "test"),
    [(["Train"], ["Test"]), (["cifar10-train-00000-of-00002", "cifar10-train-00001-of-00002"], ["cifar10-val-0-of-1"])],
)
def test_no_training_image_is_measured_on(tmp_path, ending, train, test, share):
    for names, base in ((train, DARK), (test, LIGHT)):
        for number, name in enumerate(names):
            WRITERS[ending](tmp_path / f"{name}{ending}", grey(base + 10 * number), np.arange(8) % 2)
    (tmp_path / "README.md").write_text("")
    WRITERS[ending](tmp_path / f".hidden-test{ending}", grey(0), np.arange(8) % 2)
    found = load_data(tmp_path, test_share=share)
    assert found.train.x[:, 0, 0, 0].mul(255).round().tolist() == [
        DARK + 10 * number + i for number in range(len(train)) for i in range(8)
    ]
    assert found.test.x[:, 0, 0, 0].mul(255).round().tolist() == [LIGHT + i for i in range(8)]


@pytest.mark.parametrize("ending", WRITERS)
def test_what_is_left_out_is_said_and_two_kinds_of_files_are_refused(tmp_path, ending):
    for name in ("train", "test", "val"):
        WRITERS[ending](tmp_path / f"{name}{ending}", grey(9), np.arange(8) % 2)
    assert load_data(tmp_path).source.endswith("8 training and 8 test images (val left out)")
    write_npz(tmp_path / "more.npz", grey(0), np.arange(8) % 2)
    write_parquet(tmp_path / "more.parquet", grey(0), np.arange(8) % 2)
    with pytest.raises(InputError, match=r"holds files of \.npz and \.parquet, expected one kind"):
        load_data(tmp_path)


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize(
    "parts",
    [
        {"train": ["cat", "dog"], "test": ["dog", "cat"]},
        {"train": ["cat", "cow", "dog"], "test": ["dog", "cat"]},
        {"train-0": ["cat", "dog"], "train-1": ["dog", "cat"], "test": ["cat", "dog"]},
        {"all-0": ["cat", "dog"], "all-1": ["dog", "cat"]},
    ],
)
def test_a_class_is_one_number_whatever_the_order_of_names(tmp_path, ending, parts):
    """Cats are dark and dogs light, in every file."""
    base = {"cat": DARK, "dog": LIGHT, "cow": 100}
    for number, (name, classes) in enumerate(parts.items()):
        labels = np.arange(6) % len(classes)
        pixels = np.stack([np.full((6, 6), base[classes[k]] + 6 * number + i, np.uint8) for i, k in enumerate(labels)])
        WRITERS[ending](tmp_path / f"{name}{ending}", pixels, labels, classes)
    found = load_data(tmp_path)
    assert found.classes == tuple(next(iter(parts.values())))
    for part in (found.train, found.test):
        for picture, label in zip(part.x, part.y, strict=True):
            assert 0 <= 255 * float(picture.mean()) - base[found.classes[label]] < 24


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize(
    ("train", "test", "complaint"),
    [
        (["cat", "dog"], ["cat", "cow"], "test.*: classes cow are not among those of the first file: cat, dog"),
        (["cat", "dog", "dog"], ["dog", "cat"], "with a name there twice"),
        (["cat", "dog", "cow"], ["dog"], "test.*: label 1, expected 0 to 0, one of dog"),
    ],
)
def test_names_that_cannot_be_matched(tmp_path, ending, train, test, complaint):
    for name, classes in (("train", train), ("test", test)):
        WRITERS[ending](tmp_path / f"{name}{ending}", grey(0), np.arange(8) % 2, classes)
    with pytest.raises(InputError, match=complaint):
        load_data(tmp_path)


def write_folders(root, *folders):
    for number, folder in enumerate(folders):
        (root / folder).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(np.full((6, 6), 10 * number + i, np.uint8)).save(root / folder / f"{i}.png")


def folders(*parts):
    return [f"{part}/{label}" for part in parts for label in ("cat", "dog")]


@pytest.mark.parametrize("parts", [("Train", "Test"), ("train", "dev"), ("train", "eval"), ("TRAINING", "holdout")])
def test_folders_that_are_parts(tmp_path, parts):
    write_folders(tmp_path, *folders(*parts))
    (tmp_path / "notes" / "deep").mkdir(parents=True)
    (tmp_path / parts[0] / ".ipynb_checkpoints").mkdir()
    found = load_data(tmp_path)
    assert found.classes == ("cat", "dog")
    assert found.train.x[:, 0, 0, 0].mul(255).round().tolist() == [0, 1, 10, 11]
    assert found.test.x[:, 0, 0, 0].mul(255).round().tolist() == [20, 21, 30, 31]


def test_one_part_alone_is_a_single_set_and_others_are_left_out(tmp_path):
    write_folders(tmp_path, *folders("train"))
    assert load_data(tmp_path, test_share=1).classes == ("cat", "dog")
    write_folders(tmp_path, *folders("val", "test", "unlabelled"))
    assert load_data(tmp_path).source.endswith("(unlabelled, val left out)")


def test_a_class_may_be_called_train(tmp_path):
    write_folders(tmp_path, "bus", "train", "car/red", "car/blue")
    assert load_data(tmp_path).classes == ("bus", "car", "train")


def test_lists_that_tell_the_parts_are_not_passed_over(tmp_path):
    write_folders(tmp_path, "cat", "dog")
    (tmp_path / "train.csv").write_text("cat/0.png,cat")
    assert load_data(tmp_path).classes == ("cat", "dog")
    (tmp_path / "Test.csv").write_text("cat/1.png,cat")
    with pytest.raises(InputError, match=r"Test\.csv, train\.csv tell the parts but are not read"):
        load_data(tmp_path)


@pytest.mark.parametrize("ending", WRITERS)
def test_one_shard_given_alone_is_a_single_set(tmp_path, ending):
    one = tmp_path / f"a-train-00000-of-00002{ending}"
    WRITERS[ending](one, grey(0), np.arange(8) % 2)
    assert len(load_data(one, test_share=1).test) == 8
    with pytest.raises(InputError, match="one of 2 shards, but there are 1 here"):
        load_data(tmp_path)


@pytest.mark.parametrize(
    ("layout", "complaint"),
    [
        (folders("val", "test"), "test, val do not tell"),
        (folders("train_1", "train_2", "test"), "train_1 and train_2 are folders of one part"),
        (folders("train", "Train", "test"), "Train, train are those of several sets"),
        (folders("train", "other"), "do not tell"),
        (["train", "test"], r"parts \(test, train\) without class folders"),
        ([*folders("train"), "test"], "test: expected one folder of pictures a class"),
        (["cat/train", "cat/test", "dog/train", "dog/test"], "cat: a class folder with test and train in it"),
        (["train/train/cat", "train/train/dog", "test/test/cat", "test/test/dog"], "one class folder 'test'"),
        (["data/train/cat", "data/test/cat"], "one class folder 'data'"),
    ],
)
def test_folders_that_do_not_tell(tmp_path, layout, complaint):
    write_folders(tmp_path, *layout)
    with pytest.raises(InputError, match=complaint):
        load_data(tmp_path)


def test_pictures_stand_in_the_order_of_torchvision(tmp_path):
    from torchvision.datasets import ImageFolder

    write_folders(tmp_path, "b/x/y", "b/x-1", "a", "A")
    shutil.copy(tmp_path / "a" / "0.png", tmp_path / "b" / "x" / "Z.PNG")
    shutil.copy(tmp_path / "a" / "0.png", tmp_path / "b" / "9.png")
    listing = ImageFolder(tmp_path)
    found = load_data(tmp_path, test_share=1)
    assert list(found.classes) == listing.classes
    expected = [np.asarray(Image.open(file))[0, 0] for file, _ in listing.samples]
    assert found.test.x[:, 0, 0, 0].mul(255).round().tolist() == expected
    assert found.test.y.tolist() == listing.targets


def test_files_that_are_no_pictures_by_their_endings_are_counted(tmp_path):
    write_folders(tmp_path, "cat", "dog/deep")
    for name in ("cat/a.GIF", "dog/b.gif", "dog/deep/c.heic", "dog/Makefile", "dog/.hidden"):
        (tmp_path / name).write_text("")
    with pytest.warns(UserWarning, match=r"passed over 4 files \(2 \.gif, 1 no ending, 1 \.heic\)"):
        found = load_data(tmp_path)
    assert len(found.train) + len(found.test) == 4
    assert found.source.endswith("(4 files (2 .gif, 1 no ending, 1 .heic) left out)")
    for picture in (tmp_path / "cat").glob("*.png"):
        picture.unlink()
    with pytest.raises(InputError, match=r"no picture in cat; passed over 4 files \(2 \.gif") as caught:
        load_data(tmp_path)
    assert "\n" not in str(caught.value)
