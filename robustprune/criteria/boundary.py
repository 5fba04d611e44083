"""Criteria of the nearest decision boundary: how far it is, and in which direction, with and without a block.

To first order the boundary between the true class y and another class t is (z_y - z_t) / |g|* away from x, g the
gradient of z_y - z_t at x and |g|* its norm dual to the attacker's: sum of the absolute values under Linf. The distance
is exact for a linear network. Both criteria read the same gradients. A logit difference is differentiated and not the
cross-entropy, since that vanishes, to the last bit of a float, where the network is sure.

Each network needs its own passes back through all of its layers, which no replay can share; so a `share` of the samples
is looked at, drawn by the context's seed, the same for every block. Samples tell more than further classes do: on the
published ResNet-56, of 200 training images, Spearman's correlation of `margin-drop` with that of all samples and three
classes is .98 for half of the samples and one class, .93 to .96 for a quarter and one, two or nine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from robustprune.attacks.algorithms.targets import likeliest
from robustprune.attacks.contract.losses import towards
from robustprune.attacks.contract.threat import Norm, kind_of
from robustprune.criteria.adversarial import reached, watched
from robustprune.criteria.arrays import Array, known_classes
from robustprune.criteria.changes import relative_change
from robustprune.criteria.context import ScoringContext
from robustprune.criteria.probe import logits_of, numpy64
from robustprune.criteria.replay import Tape
from robustprune.errors import InputError
from robustprune.models.modes import frozen


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """The nearest boundary of m samples: its distance with and without each block, and how far its direction turns."""

    distance: Array
    without: dict[str, Array]
    turn: dict[str, Array]
    """1 - cosine of the gradients with and without the block."""


@dataclass(frozen=True, kw_only=True)
class NearestBoundary:
    """Looks for the nearest boundary among those to the `targets` wrong classes of largest logit.

    `share` of the samples are looked at, at least two. Distances are in units of [0,1] pixels, in `norm`; negative for
    a sample that is misclassified; at most the size of the whole box, 1 under Linf. The direction is that to the
    likeliest wrong class. Raises InputError for an unknown norm, no target and a share outside (0, 1].
    """

    norm: Norm = "Linf"
    targets: int = 1
    share: float = 0.25

    def __post_init__(self) -> None:
        kind_of(self.norm)
        if self.targets < 1 or not 0 < self.share <= 1:
            given = f"targets={self.targets}, share={self.share}"
            raise InputError(f"nearest boundary: {given}, expected at least 1 and a number above 0 and up to 1")

    def __call__(self, ctx: ScoringContext) -> Boundary:
        """One pass forward and one back a target for each network, the layers before a block run forward once."""
        some, names = self._drawn(ctx), [block.name for block in ctx.blocks]
        tape = Tape(ctx.model, some.places, some.skips)
        distances: dict[str, list[Array]] = {name: [] for name in ("", *names)}
        turns: dict[str, list[Array]] = {name: [] for name in names}
        with frozen(ctx.model), torch.enable_grad():
            for batch, y in some.batches(kept=True):
                x = watched(batch)
                dense, ahead = self._seen(tape.record(x), x, y, "the unpruned network")
                distances[""].append(dense)
                for name in names:
                    far, direction = self._seen(tape.without(name), x, y, f"the network without block {name}")
                    distances[name].append(far)
                    turns[name].append(numpy64(relative_change(ahead.flatten(1), direction.flatten(1))))
        whole = {name: np.concatenate(parts) for name, parts in distances.items()}
        return Boundary(
            distance=whole.pop(""), without=whole, turn={name: np.concatenate(parts) for name, parts in turns.items()}
        )

    def _drawn(self, ctx: ScoringContext) -> ScoringContext:
        count = max(2, math.ceil(self.share * len(ctx.x)))
        rows = torch.from_numpy(np.sort(np.random.default_rng(ctx.seed).permutation(len(ctx.x))[:count]))
        return replace(ctx, x=ctx.x[rows.to(ctx.x.device)], y=ctx.y[rows.to(ctx.y.device)])

    def _seen(self, output: Any, x: Tensor, y: Tensor, source: str) -> tuple[Array, Tensor]:
        """Distances (m,) and gradients (m, ...) towards the true class, away from the likeliest wrong one."""
        logits = logits_of(output, len(x), source)
        known_classes(np.asarray(y.cpu().numpy()), logits.shape[1])
        if logits.shape[1] < 2:
            raise InputError(f"{source}: logits of one class, expected at least 2 for a boundary between them")
        ball = kind_of(self.norm)(eps=1.0)
        nearest, directions = ball.size(torch.ones_like(x)), []
        most = nearest.clone()
        for target in likeliest(logits.detach(), y, self.targets).unbind(1):
            lead = -towards(logits, y, target)
            directions.append(reached(lead, x, retain=True))
            slope = ball.dual(directions[-1]).clamp(min=torch.finfo(x.dtype).tiny)
            nearest = torch.minimum(nearest, (lead.detach() / slope).clamp(-most, most))
        if not nearest.isfinite().all():
            raise InputError(f"{source}: gradients at the input are NaN or Inf, expected finite values")
        return numpy64(nearest), directions[0]


@dataclass(frozen=True, kw_only=True)
class GradientAlignment:
    """1 - mean cosine of the input gradients of the margin with the block skipped and of the whole network.

    The margin is the true logit minus the largest other one (the loss of Carlini & Wagner 1608.04644, sign aside).
    """

    boundary: NearestBoundary = field(default_factory=NearestBoundary)
    family: ClassVar[str] = "input gradient"
    name = "gradient-alignment"

    def __call__(self, ctx: ScoringContext) -> dict[str, float]:
        """In [0, 2]; higher = keep."""
        return {name: float(turn.mean()) for name, turn in ctx.once(self.boundary).turn.items()}


@dataclass(frozen=True, kw_only=True)
class MarginDrop:
    """Mean drop of the linearised distance to the nearest boundary when the block is skipped."""

    boundary: NearestBoundary = field(default_factory=NearestBoundary)
    family: ClassVar[str] = "boundary"
    name = "margin-drop"

    def __call__(self, ctx: ScoringContext) -> dict[str, float]:
        """In units of [0,1] pixels, negative where the boundary is further away without; higher = keep."""
        found = ctx.once(self.boundary)
        return {name: float((found.distance - far).mean()) for name, far in found.without.items()}
