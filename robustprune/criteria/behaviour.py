"""Criteria that watch the network at work: how a block changes its input, what its removal does to the loss.

A criterion should see the loss that matters (HYDRA, 2002.10509): `OnInputs` scores any criterion on other
inputs, made against the very network that is scored, adversarial examples for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import log_softmax

from robustprune.criteria.arrays import Array, Labels, known_classes
from robustprune.criteria.context import Criterion, Inputs, ScoringContext


def mean_loss(logits: Array, labels: Labels) -> float:
    """Mean cross-entropy in nats of `logits` (n, k) for class numbers `labels` (n,).

    Raises InputError for labels outside 0..k-1.

    >>> round(mean_loss(np.array([[0.0, 0.0], [0.0, 1000.0]]), np.array([0, 1])), 4)
    0.3466
    """
    known_classes(labels, logits.shape[1])
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


@dataclass(frozen=True, kw_only=True)
class BlockInfluence:
    """1 - mean cosine of the block's input and output (Men et al. 2403.03853), token by token."""

    family: ClassVar[str] = "influence"
    name = "block-influence"

    def __call__(self, ctx: ScoringContext) -> dict[str, float]:
        """In [0, 2]; higher = keep."""
        return dict(ctx.influence)


@dataclass(frozen=True, kw_only=True)
class AngularDistance:
    """Angle between the block's input and output as a share of a half turn (Gromov et al. 2403.17887), token by token.

    arccos(cosine) / pi, the mean over samples and over all their tokens; the paper, on language models, takes the last
    token of each text alone, the only one that has seen all of it.
    """

    family: ClassVar[str] = "influence"
    name = "angular-distance"

    def __call__(self, ctx: ScoringContext) -> dict[str, float]:
        """In [0, 1]; higher = keep."""
        return dict(ctx.turned)


@dataclass(frozen=True, kw_only=True)
class AblationLoss:
    """Rise of the loss when the block is skipped, L(without i) - L: the one-block oracle (2402.02834)."""

    family: ClassVar[str] = "loss"
    name = "ablation-loss"

    def __call__(self, ctx: ScoringContext) -> dict[str, float]:
        """Nats, negative where the network is better without the block; higher = keep."""
        dense = mean_loss(ctx.logits, ctx.labels)
        return {b.name: mean_loss(ctx.without(b.name).logits, ctx.labels) - dense for b in ctx.blocks}


@dataclass(frozen=True, kw_only=True)
class OnInputs:
    """`criterion`, scored on `inputs(model, x, y)` in place of x; called `<criterion>@<label>`.

    Criteria with an equal `inputs` share one context: the inputs are made once.
    """

    criterion: Criterion
    inputs: Inputs
    label: str = "adversarial"

    @property
    def name(self) -> str:
        """The criterion's name and the label, joined by `@`."""
        return f"{self.criterion.name}@{self.label}"

    @property
    def family(self) -> str:
        """The criterion's family, or its name if it has none, and the label, joined by `@`."""
        return f"{getattr(self.criterion, 'family', self.criterion.name)}@{self.label}"

    def __call__(self, ctx: ScoringContext) -> dict[str, float]:
        """The criterion's scores on the other inputs."""
        return ctx.on(self.inputs).score(self.criterion)
