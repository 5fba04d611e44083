"""Splits refuse what is not an image in [0, 1], and deal balanced subsets."""

import hashlib
from collections import Counter

import numpy as np
import pytest
import torch

from robustprune.data import Data, Split, count_shared, holdout
from robustprune.errors import InputError


def noise(n, classes=4, seed=0, shape=(1, 4, 4)):
    generator = torch.Generator().manual_seed(seed)
    return Split(torch.rand(n, *shape, generator=generator), torch.arange(n) % classes)


@pytest.mark.parametrize(
    ("x", "y", "complaint"),
    [
        (torch.zeros(2, 1, 4, 4, dtype=torch.float64), torch.zeros(2, dtype=torch.int64), "torch.float64"),
        (torch.zeros(2, 4, 4), torch.zeros(2, dtype=torch.int64), r"\(2, 4, 4\)"),
        (torch.zeros(0, 1, 4, 4), torch.zeros(0, dtype=torch.int64), r"\(0, 1, 4, 4\)"),
        (torch.full((2, 1, 4, 4), 1.01), torch.zeros(2, dtype=torch.int64), "1.01"),
        (torch.full((2, 1, 4, 4), -0.01), torch.zeros(2, dtype=torch.int64), "-0.01"),
        (torch.full((2, 1, 4, 4), torch.nan), torch.zeros(2, dtype=torch.int64), "nan"),
        (torch.full((2, 1, 4, 4), torch.inf), torch.zeros(2, dtype=torch.int64), "inf"),
        (torch.zeros(2, 1, 4, 4), torch.zeros(2), "labels are torch.float32"),
        (torch.zeros(2, 1, 4, 4), torch.zeros(3, dtype=torch.int64), r"\(3,\)"),
        (torch.zeros(2, 1, 4, 4), torch.tensor([0, -1]), "label -1"),
        (torch.zeros(2, 1, 4, 4), torch.tensor([0, 2**40]), "label 1099511627776, expected class numbers"),
    ],
)
def test_what_is_no_image_or_label_is_refused(x, y, complaint):
    with pytest.raises(InputError, match=complaint):
        Split(x, y)


def test_one_nan_among_many_pixels_is_found():
    x = torch.rand(50, 3, 8, 8)
    x[31, 2, 7, 7] = torch.nan
    with pytest.raises(InputError, match="nan"):
        Split(x, torch.zeros(50, dtype=torch.int64))


@pytest.mark.parametrize("n", [4, 8, 20, 40])
def test_balanced_takes_equally_many_of_each_class(n):
    assert set(Counter(noise(40).balanced(n, seed=3).y.tolist()).values()) == {n // 4}


def test_balanced_counts_differ_by_at_most_one():
    counts = Counter(noise(40).balanced(10, seed=3).y.tolist()).values()
    assert sorted(counts) == [2, 2, 3, 3]


def test_a_class_that_runs_out_leaves_its_turn_to_the_others():
    y = torch.tensor([0] * 2 + [1] * 20 + [2] * 20)
    counts = Counter(Split(torch.rand(42, 1, 2, 2), y).balanced(22, seed=0).y.tolist())
    assert counts == {0: 2, 1: 10, 2: 10}


def test_balanced_keeps_the_order_of_the_data_and_follows_the_seed():
    whole = noise(60)
    position = {digest: place for place, digest in enumerate(whole.hashes())}
    first, again, other = (whole.balanced(12, seed=seed).hashes() for seed in (5, 5, 6))
    assert first == again
    assert first != other
    assert [position[digest] for digest in first] == sorted(position[digest] for digest in first)


def test_a_larger_subset_contains_the_smaller():
    whole = noise(60)
    assert set(whole.balanced(7, seed=1).hashes()) < set(whole.balanced(23, seed=1).hashes())


def test_balanced_of_everything_is_everything():
    whole = noise(10)
    assert whole.balanced(10, seed=0).hash == whole.hash


@pytest.mark.parametrize("n", [0, 61])
def test_balanced_refuses_what_there_is_not(n):
    with pytest.raises(InputError, match="expected 1 to 60"):
        noise(60).balanced(n, seed=0)


def test_take_keeps_the_order_asked_for_and_refuses_others():
    whole = noise(6)
    assert whole.take([4, 1]).hashes() == [whole.hashes()[4], whole.hashes()[1]]
    for wrong in ([6], [-1]):
        with pytest.raises(InputError, match="expected 0 to 5"):
            whole.take(wrong)


def test_hashes_are_sha256_of_the_pixels():
    whole = noise(3)
    expected = [hashlib.sha256(image.numpy().tobytes()).hexdigest()[:16] for image in whole.x]
    assert whole.hashes() == expected


def test_the_whole_hash_sees_pixels_labels_order_and_shape():
    whole = noise(4)
    changed = whole.x.clone()
    changed[3, 0, 0, 0] += 2**-24 if changed[3, 0, 0, 0] < 0.5 else -(2**-24)
    others = [
        Split(changed, whole.y),
        Split(whole.x, whole.y.flip(0)),
        whole.take([1, 0, 2, 3]),
        Split(whole.x.reshape(4, 1, 2, 8), whole.y),
    ]
    assert len({split.hash for split in [whole, *others]}) == 5
    assert Split(whole.x.clone(), whole.y.clone()).hash == whole.hash


def test_count_shared_ignores_labels_and_counts_samples():
    a = noise(6)
    b = Split(a.x[[0, 0, 5]], torch.tensor([1, 1, 1]))
    assert count_shared(a, b) == 2
    assert count_shared(b, a) == 3
    assert count_shared(a, noise(6, seed=1)) == 0


def test_holdout_is_stratified_disjoint_and_complete():
    whole = noise(80)
    train, test = holdout(whole, 0.25, seed=0)
    assert Counter(test.y.tolist()) == dict.fromkeys(range(4), 5)
    assert count_shared(train, test) == 0
    assert sorted(train.hashes() + test.hashes()) == sorted(whole.hashes())


def test_holdout_puts_copies_of_one_image_on_one_side():
    one = noise(40)
    doubled = Split(one.x.repeat(2, 1, 1, 1), one.y.repeat(2))
    train, test = holdout(doubled, 0.5, seed=0)
    assert count_shared(test, train) == 0
    assert len(train) + len(test) == 80


def test_holdout_refuses_copies_of_one_image():
    copies = Split(torch.zeros(8, 1, 2, 2), torch.arange(8) % 2)
    with pytest.raises(InputError, match="every test image is a copy"):
        holdout(copies, 0.5, seed=0)


def test_holdout_refuses_a_class_of_one():
    lonely = Split(torch.rand(9, 1, 2, 2), torch.tensor([0] * 8 + [1]))
    with pytest.raises(InputError, match="every class on both sides"):
        holdout(lonely, 0.5, seed=0)


def test_data_refuse_labels_beyond_the_classes_and_two_shapes():
    with pytest.raises(InputError, match="test label 3, expected 0 to 1"):
        Data("d", ("a", "b"), noise(4, classes=2), noise(4, classes=4), "")
    with pytest.raises(InputError, match="expected one shape"):
        Data("d", ("a", "b"), noise(4, classes=2), noise(4, classes=2, shape=(1, 5, 5)), "")


def test_numpy_indices_are_taken_too():
    assert noise(6).take(np.array([2, 3])).y.tolist() == [2, 3]


def test_arrays_of_another_library_are_named():
    with pytest.raises(InputError, match=r"images are ndarray, expected a torch\.Tensor"):
        Split(np.zeros((2, 1, 4, 4), np.float32), torch.zeros(2, dtype=torch.long))
