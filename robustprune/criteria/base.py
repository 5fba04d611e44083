"""What every criterion looks like, and the two shapes most of them share.

A criterion is one question to one context: "how much does each block matter?", answered as block name ->
score with **higher = keep**. Criteria that compare the features with and without a block differ in a single
step, the distance; `FeatureCriterion` holds everything else, so that every metric sees the same samples in
the same order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from robustprune.errors import InputError

if TYPE_CHECKING:
    from robustprune.criteria.context import ScoringContext

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@runtime_checkable
class Criterion(Protocol):
    """Gives every block of a context a score; higher = keep.

    A criterion may also have `family`, a string: criteria of one family measure nearly the same thing, and
    `robustprune.consensus.family_weights` lets each family count once.
    """

    @property
    def name(self) -> str:
        """The name under which scores are recorded."""
        ...

    def __call__(self, ctx: ScoringContext) -> dict[str, float]:
        """Block name -> score, for every block of `ctx`, finite, higher = keep."""
        ...


@dataclass(frozen=True, kw_only=True)
class FeatureCriterion(ABC):
    """Score = how far the features move when the block is taken out."""

    family: ClassVar[str] = "features"

    @property
    @abstractmethod
    def name(self) -> str:
        """The name under which scores are recorded."""

    @abstractmethod
    def distance(self, x: Array, y: Array, labels: Labels) -> float:
        """Distance between two (n, d) feature matrices of the same n samples of classes `labels` (n,)."""

    def __call__(self, ctx: ScoringContext) -> dict[str, float]:
        """Distance between the features with and without each block; higher = keep."""
        return {b.name: self.distance(ctx.features, ctx.without(b.name).features, ctx.labels) for b in ctx.blocks}


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
