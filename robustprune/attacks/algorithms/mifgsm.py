"""MI-FGSM (Dong et al. 2018, arXiv 1710.06081): PGD along a running sum of the gradients, from the sample itself."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from robustprune.attacks.algorithms.pgd import PGD, PGDSteps
from robustprune.attacks.contract.state import State
from robustprune.attacks.contract.stepped import Seen, Stepper


@dataclass(frozen=True, kw_only=True)
class MIFGSM(PGD):
    """PGD with momentum: each gradient is scaled and added to `decay` times those before (equation 6)."""

    kind, norms = "MI-FGSM", ("Linf", "L2")
    steps: int = 10
    random_start: bool = False
    decay: float = 1.0

    @property
    def lengths(self) -> list[float]:
        """The length of every step, `alpha` or eps / steps, as published."""
        return [self.eps / self.steps if self.alpha is None else self.alpha] * self.steps

    def stepper(self, model: nn.Module) -> Stepper:
        """Return PGD's steps with a memory."""
        return MomentumSteps(**vars(super().stepper(model)), decay=self.decay)


@dataclass(kw_only=True)
class MomentumSteps(PGDSteps):
    """Steps along the sum; a sample without a gradient is carried on by what it has."""

    memory = True
    decay: float

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Begin as PGD does, with nothing summed up."""
        super().start(state, keys, seed)
        state["sum"] = torch.zeros_like(state["x"])

    def advance(self, state: State, seen: Seen) -> None:
        """Add the gradient, scaled to a mean magnitude of 1 (torchattacks' scale), and step along the sum."""
        grad = seen.grad
        scale = grad.abs().mean(dim=tuple(range(1, grad.ndim)), keepdim=True)
        state["sum"] = self.decay * state["sum"] + grad / scale.clamp(min=torch.finfo(grad.dtype).tiny)
        super().advance(state, replace(seen, grad=state["sum"]))
