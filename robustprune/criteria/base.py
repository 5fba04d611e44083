"""The shape that most criteria share: how far do the features move when a block is taken out?

Such criteria differ in a single step, the distance; `FeatureCriterion` holds everything else, so that every metric
sees the same samples in the same order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from robustprune.criteria.arrays import Array, Labels
from robustprune.criteria.context import ScoringContext


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
