"""Scoring what is left of a network against what it was: the features and logits of the original are the reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from torch import nn

from robustprune.criteria import ScoringContext
from robustprune.criteria.arrays import Array


@dataclass(eq=False)
class AgainstOriginal(ScoringContext):
    """A context whose features and logits, with no block skipped, are those of `original` on the same samples.

    A criterion that compares the network without a block to the whole one then counts what went before, too. One that
    compares nothing (weights, gradients) scores as it always does. Blocks of the network are blocks of `original`.
    """

    original: nn.Module = field(kw_only=True)
    """The network before anything was removed."""

    @property
    def features(self) -> Array:
        """(n, d), of the original."""
        return self._before.features

    @property
    def logits(self) -> Array:
        """(n, k), of the original."""
        return self._before.logits

    @cached_property
    def _before(self) -> ScoringContext:
        return ScoringContext(
            model=self.original,
            blocks=self.blocks[-1:],
            x=self.x,
            y=self.y,
            seed=self.seed,
            batch_size=self.batch_size,
        )
