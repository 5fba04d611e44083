"""Criteria that watch the network under attack: a criterion must see the loss that matters (HYDRA, 2002.10509).

The adversarial inputs are made once against the whole network and shown to it with and without every block, so that
all criteria here share them, and the passes on them. What is compared is how the blocks carry one perturbation; against
the network without a block it is a transferred attack, weaker than one made anew. So on the published ResNet-56
(standard training, 200 training images) the loss on these inputs falls whichever block is skipped, and most for those
that the clean metrics would keep: Spearman's correlation of `ablation-loss@adversarial` with `ablation-loss` is -.41 at
1/255 and -.53 at 4/255, and .91 to .99 with `local-lipschitz`, which is therefore of its family. `cka@adversarial` has
.84 and .90 with `cka`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from robustprune.attacks.contract.gradients import input_gradient
from robustprune.attacks.contract.losses import cross_entropy
from robustprune.attacks.contract.randomness import generators, keys
from robustprune.attacks.contract.threat import Norm, threat
from robustprune.criteria.arrays import Array
from robustprune.criteria.behaviour import AblationLoss, OnInputs
from robustprune.criteria.context import ScoringContext
from robustprune.criteria.probe import logits_of, numpy64
from robustprune.criteria.similarity import Cka
from robustprune.errors import InputError
from robustprune.models.modes import frozen


@dataclass(frozen=True, kw_only=True)
class Adversarial:
    """Makes adversarial inputs: the last iterates of PGD on the cross-entropy, `eps` around x in `norm`.

    `eps` is in units of [0,1] pixels, small enough by default that a network of standard training is not lost wholly;
    each of the `steps` is 2.5 eps / steps long (Madry et al. 1706.06083). The random start is a function of `seed` and
    of the image, so neither batches nor the order of the data change anything. `batch_size` images are attacked at a
    time. Raises InputError for an unknown norm, eps <= 0, no step, and where no
    gradient reaches the input.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> x = torch.full((3, 1, 2, 2), 0.5)
    >>> adv = Adversarial(eps=0.1, steps=3)(net, x, torch.tensor([0, 1, 0]))
    >>> round((adv - x).abs().max().item(), 6)
    0.1
    """

    eps: float = 2 / 255
    norm: Norm = "Linf"
    steps: int = 4
    seed: int = 0
    batch_size: int = 128

    def __post_init__(self) -> None:
        ball = threat(self.norm, self.eps)
        if self.eps <= 0 or self.steps < 1 or self.batch_size < 1:
            given = f"eps={self.eps}, steps={self.steps}, batch_size={self.batch_size}"
            raise InputError(f"adversarial inputs, {ball.norm}: {given}, expected eps > 0 and at least 1 and 1")

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Images (n, ...) in [0,1] where those of `x` were; the model is left as it was."""
        device = next((p.device for p in model.parameters()), x.device)
        with frozen(model), torch.enable_grad():
            parts = zip(x.split(self.batch_size), y.split(self.batch_size), strict=True)
            return torch.cat([self._attacked(model, a.to(device), b.to(device)).to(x.device) for a, b in parts])

    def _attacked(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        ball, length = threat(self.norm, self.eps), 2.5 * self.eps / self.steps
        adv = ball.start(x, generators(self.seed, keys(x)))
        for _ in range(self.steps):
            at = watched(adv)
            loss = cross_entropy(logits_of(model(at.clone()), len(x), "the network under attack"), y)
            adv = ball.project(adv + length * ball.steepest(reached(loss, at), adv), x)
        return adv


def watched(x: Tensor) -> Tensor:
    """The same values as a tensor that takes a gradient. Raises InputError for whole numbers, such as tokens."""
    if not x.is_floating_point():
        raise InputError(f"scoring samples: {x.dtype} has no gradients, which this criterion needs; cka needs none")
    return x.detach().requires_grad_()


def reached(value: Tensor, x: Tensor, retain: bool = False) -> Tensor:
    """Gradient of the sum of `value` (m,) at `x` (m, ...); `retain` keeps what it came from, for another one.

    Raises InputError where the network lets none through.
    """
    if not value.requires_grad:
        raise InputError("scoring: no gradient reaches the input, which this criterion needs; cka needs none")
    return input_gradient(value.sum(), x, retain)


def adversarial_cka() -> OnInputs:
    """Linear CKA distance of the features with and without the block, on adversarial inputs (PGD-4, 2/255)."""
    return OnInputs(criterion=Cka(), inputs=Adversarial())


def adversarial_ablation_loss() -> OnInputs:
    """Rise of the loss on adversarial inputs (PGD-4, 2/255) when the block is skipped, in nats."""
    return OnInputs(criterion=AblationLoss(), inputs=Adversarial())


@dataclass(frozen=True, kw_only=True)
class LocalLipschitz:
    """Rise of the local Lipschitz estimate when the block is skipped: how much further the logits then move.

    The estimate is the mean of |z(x + d) - z(x)|_2 / |d| over the samples, d the perturbation that `inputs` makes
    against the whole network, |d| in the norm of its threat: a lower bound of the constant, as in CLEVER's (Weng et al.
    1801.10578) but along the attack.
    """

    inputs: Adversarial = field(default_factory=Adversarial)
    family: ClassVar[str] = "loss@adversarial"
    name = "local-lipschitz"

    def __call__(self, ctx: ScoringContext) -> dict[str, float]:
        """Logits per unit of the pixel range, negative where the network is smoother without; higher = keep."""
        other = ctx.on(self.inputs)
        size = numpy64(threat(self.inputs.norm, self.inputs.eps).size(other.x - ctx.x))
        size = np.maximum(size, np.finfo(np.float64).tiny)
        dense = _moved(ctx.logits, other.logits)
        rise = {b.name: _moved(ctx.without(b.name).logits, other.without(b.name).logits) - dense for b in ctx.blocks}
        return {name: float((moved / size).mean()) for name, moved in rise.items()}


def _moved(before: Array, after: Array) -> Array:
    return np.asarray(np.linalg.norm(after - before, axis=1))
