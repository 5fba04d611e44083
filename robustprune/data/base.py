"""Images or texts with labels, checked once on creation, so that nothing after this has to ask again.

Images are float32, NCHW, in [0, 1]: the attacks clamp to that range, so normalised input would be changed in
silence. Texts are int64 token numbers, (N, T), filled up with padding. Subsets are drawn by dealing (one of each class
in turn), which has one rule for every size: a bigger subset contains the smaller ones, and a class that runs out leaves
its turn to the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustprune.errors import InputError

Indices = Sequence[int] | NDArray[np.int64] | Tensor

MOST_CLASSES = 100_000
"""Labels are below it: a larger one is no number of a class, and dealing by class would take memory for each."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images `x` (float32, (n, C, H, W), in [0, 1]), or texts (int64, (n, T)), and labels `y` (int64, (n,), from 0).

    Raises InputError for any other type, shape or range, and for NaN.

    >>> split = Split(torch.zeros(4, 1, 8, 8), torch.tensor([0, 0, 1, 1]))
    >>> len(split), split.balanced(2, seed=0).y.tolist()
    (4, [0, 1])
    """

    x: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        (_check_texts if self.x.dtype == torch.int64 and self.x.ndim == 2 else _check_images)(self.x)
        _check_labels(self.y, len(self.x))

    def __len__(self) -> int:
        return len(self.x)

    def take(self, indices: Indices) -> Split:
        """Return the samples at `indices` (0 <= i < n), in that order. Raises InputError for others."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        if len(chosen) and not 0 <= int(chosen.min()) <= int(chosen.max()) < len(self):
            raise InputError(f"indices {int(chosen.min())} to {int(chosen.max())}: expected 0 to {len(self) - 1}")
        return Split(self.x[chosen.to(self.x.device)], self.y[chosen.to(self.y.device)])

    def balanced(self, n: int, seed: int) -> Split:
        """Return `n` samples, as many of each class as there are to have, in the order of the data set.

        Class counts differ by at most one, except for classes of which every sample is taken. The same seed
        gives the same samples, and those of a smaller `n` are among those of a larger. Raises InputError
        beyond 1..len.
        """
        return self.take(balanced_indices(self.y.cpu().numpy(), n, seed))

    def hashes(self) -> list[str]:
        """Return 16 hexadecimal digits of each image's sha256 (pixels only: a relabelled copy is a copy)."""
        return [hashlib.sha256(image).hexdigest()[:16] for image in self.x.detach().cpu().contiguous().numpy()]

    @cached_property
    def hash(self) -> str:
        """The sha256 of shape, images and labels, 64 hexadecimal digits."""
        state = hashlib.sha256(str(tuple(self.x.shape)).encode())
        state.update(self.x.detach().cpu().contiguous().numpy().data)
        state.update(self.y.detach().cpu().contiguous().numpy().data)
        return state.hexdigest()

    @property
    def content_key(self) -> str:
        """What names it in the keys of measurements."""
        return self.hash


@dataclass(frozen=True, eq=False)
class Data:
    """A data set: the names of its classes, what may be learned from, and what is only ever measured on.

    `source` says in words what it is and how many samples it has; it is shown beside the results. Raises InputError
    for images of two shapes, labels without a class, and names that cannot be written.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    source: str
    text: Callable[[Tensor], str] | None = None
    """Of texts: what turns token numbers (T,) into words, for those who read a report."""

    def __post_init__(self) -> None:
        for text in (self.name, *self.classes, self.source):
            if not isinstance(text, str) or any("\ud800" <= letter <= "\udfff" for letter in text):
                raise InputError(f"data {self.name!r}: {text!r} is no text that can be written; expected UTF-8")
        if self.train.x.shape[1:] != self.test.x.shape[1:]:
            shapes = " and ".join(str(tuple(part.x.shape[1:])) for part in (self.train, self.test))
            raise InputError(f"{self.name}: training and test images have shapes {shapes}, expected one shape")
        for part, split in (("training", self.train), ("test", self.test)):
            top = int(split.y.max())
            if top >= len(self.classes):
                raise InputError(f"{self.name}: {part} label {top}, expected 0 to {len(self.classes) - 1}")


def balanced_indices(labels: NDArray[np.int64], n: int, seed: int) -> NDArray[np.int64]:
    """Return `n` increasing indices into `labels`, dealt class by class: see `Split.balanced`.

    >>> balanced_indices(np.array([0, 0, 0, 0, 1, 2]), 4, seed=0)[-2:].tolist()
    [4, 5]
    """
    if not 1 <= n <= len(labels):
        raise InputError(f"{n} samples asked for, expected 1 to {len(labels)}")
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(labels))
    seats = generator.permutation(int(labels.max()) + 1)[labels]
    rounds = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        rounds[members] = np.arange(len(members))
    return np.sort(np.lexsort((seats, rounds))[:n])


def holdout(whole: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Split into training and test samples: every class gives `share` of its members to the test, at random.

    Copies of one image all go to the training side, so that the two share no image. With a share of 1 every sample
    is on both sides: for a review, which measures and learns nothing. Raises InputError where a class is too small
    to be on both sides.
    """
    from sklearn.model_selection import train_test_split

    if share == 1:
        return whole, whole
    if not 0 < share < 1:
        raise InputError(f"test share {share}: expected a number above 0, up to 1")
    positions = np.arange(len(whole))
    try:
        train, test = train_test_split(positions, test_size=share, random_state=seed, stratify=whole.y.numpy())
    except ValueError as error:
        raise InputError(f"{len(whole)} samples cannot be split with every class on both sides: {error}") from error
    hashes = whole.hashes()
    learned = {hashes[i] for i in train}
    copies = [i for i in test if hashes[i] in learned]
    if len(copies) == len(test):
        raise InputError(f"{len(whole)} samples cannot be split: every test image is a copy of a training image")
    return whole.take(np.sort([*train, *copies])), whole.take(np.sort(np.setdiff1d(test, copies)))


def concatenated(splits: Sequence[Split]) -> Split:
    """Return all samples of several splits, in order. Raises InputError for images of two shapes."""
    shapes = {tuple(split.x.shape[1:]) for split in splits}
    if len(shapes) > 1:
        raise InputError(f"images have shapes {' and '.join(map(str, sorted(shapes)))}, expected one shape")
    if len(splits) == 1:
        return splits[0]
    return Split(torch.cat([split.x for split in splits]), torch.cat([split.y for split in splits]))


def sizes(train: Split, test: Split) -> str:
    """Say how many images there are to learn from and to measure on."""
    if train is test:
        return f"{len(test)} images, all of them measured on"
    return f"{len(train)} training and {len(test)} test images"


def count_shared(a: Split, b: Split) -> int:
    """Return how many samples of `a` have their exact image in `b` too; 0 means the two are disjoint."""
    known = set(b.hashes())
    return sum(digest in known for digest in a.hashes())


def _check_images(x: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise InputError(f"images are {type(x).__name__}, expected a torch.Tensor, such as torch.from_numpy(...)")
    if x.dtype != torch.float32 or x.ndim != 4 or 0 in x.shape:
        raise InputError(f"images are {x.dtype} {tuple(x.shape)}, expected torch.float32 (n, C, H, W), none of them 0")
    low, high = (float(bound) for bound in torch.aminmax(x.detach()))
    if not 0 <= low <= high <= 1:
        raise InputError(
            f"pixels from {low:g} to {high:g}, expected 0 to 1; divide bytes by 255, normalise in the model"
        )


def _check_texts(x: Tensor) -> None:
    if 0 in x.shape or int(x.min()) < 0:
        raise InputError(f"texts of shape {tuple(x.shape)} with negative numbers, expected (n, T) token numbers from 0")


def _check_labels(y: Tensor, n: int) -> None:
    if y.dtype != torch.int64 or tuple(y.shape) != (n,):
        raise InputError(f"labels are {y.dtype} {tuple(y.shape)}, expected torch.int64 ({n},)")
    if int(y.min()) < 0:
        raise InputError(f"label {int(y.min())}, expected 0 or more")
    if int(y.max()) >= MOST_CLASSES:
        raise InputError(f"label {int(y.max())}, expected class numbers from 0, below {MOST_CLASSES:,}")
