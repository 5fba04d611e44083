"""Handwritten digits, 8 x 8: small enough to train and attack in seconds, and installed with scikit-learn."""

from __future__ import annotations

import numpy as np

from robustprune.data.base import Data, holdout
from robustprune.data.convert import to_split

TEST = 600


def digits() -> Data:
    """Handwritten digits, 1 x 8 x 8, 1197 to train on and 600 to test (ships with scikit-learn).

    Pixels 0..16 are divided by 16. The split is stratified and fixed (seed 0); no image is on both sides.
    Source: UCI Optical Recognition of Handwritten Digits, Alpaydin and Kaynak 1998, CC BY 4.0.

    >>> data = digits()
    >>> tuple(data.test.x.shape), len(data.classes)
    ((600, 1, 8, 8), 10)
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    whole = to_split(np.asarray(bunch.images) / 16, np.asarray(bunch.target), "digits")
    train, test = holdout(whole, TEST / len(whole), seed=0)
    source = f"digits 8 x 8 of scikit-learn: {len(train)} training and {len(test)} test images"
    return Data("digits", tuple(str(digit) for digit in range(10)), train, test, source)
