"""The arrays that criteria compute with, and what is refused of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from robustprune.errors import InputError

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def known_classes(labels: Labels, classes: int) -> None:
    """Refuse class numbers outside 0..classes-1.

    >>> known_classes(np.array([0, 3]), 3)
    Traceback (most recent call last):
    robustprune.errors.InputError: labels run from 0 to 3, expected 0 to 2 for 3 logits
    """
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise InputError(f"labels run from {low} to {high}, expected 0 to {classes - 1} for {classes} logits")


def paired(x: Array, y: Array) -> None:
    """Refuse feature matrices that no paired distance can be computed from.

    Raises InputError unless both are (n, d) with one n >= 2 and one d, and finite.

    >>> paired(np.zeros((3, 2)), np.zeros((4, 2)))
    Traceback (most recent call last):
    robustprune.errors.InputError: features: shapes (3, 2) and (4, 2), expected one (samples, neurons) shape
    """
    if x.ndim != 2 or x.shape != y.shape:
        raise InputError(f"features: shapes {x.shape} and {y.shape}, expected one (samples, neurons) shape")
    if len(x) < 2 or x.shape[1] < 1:
        raise InputError(f"features: shape {x.shape}, expected at least 2 samples and 1 neuron")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("features: NaN or Inf found, expected finite values")
