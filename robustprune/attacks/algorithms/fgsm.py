"""The fast gradient sign method (Goodfellow et al. 2015, arXiv 1412.6572): one step of length eps from the sample.

It is the cheapest attack and the weakest. It stands first in a chain, to save the dearer ones work; a claim
that rests on it alone is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torchattacks
from torch import Tensor, nn

from robustprune.attacks.contract.attack import Objective
from robustprune.attacks.contract.found import Passes
from robustprune.attacks.contract.losses import cross_entropy
from robustprune.attacks.contract.state import State
from robustprune.attacks.contract.stepped import Seen, SteppedAttack, Stepper


@dataclass(frozen=True, kw_only=True)
class FGSM(SteppedAttack):
    """x' = clip(x + eps sign(grad of the cross-entropy at x)), under Linf.

    >>> FGSM(eps=8/255).name, FGSM(eps=8/255).threat
    ('FGSM', 'Linf 8/255')
    """

    norms = ("Linf",)

    @property
    def objective(self) -> Objective:
        """The cross-entropy."""
        return "cross-entropy"

    @property
    def budget(self) -> dict[str, int]:
        """One step."""
        return {"steps": 1, **self.averaged}

    @property
    def allowed(self) -> Passes:
        """The gradient, and the point that it leads to."""
        return self.passes_of(1, 1)

    @property
    def effort(self) -> float:
        """One pass, or as many as are averaged."""
        return float(self.eot)

    def stepper(self, model: nn.Module) -> Stepper:
        """Return torchattacks' FGSM, cut open."""
        steps = FGSMSteps(model, eps=self.eps)
        steps.eot = self.eot
        return steps


class FGSMSteps(torchattacks.FGSM):
    """torchattacks' FGSM as an attack of one step."""

    steps: int = 1
    steady: int = 0
    memory: bool = False
    runs: int = 1
    retries: int = 0
    gradient: bool = True
    roams: bool = False
    eot: int = 1

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Begin at x."""
        state["adv"] = state["x"]

    def objective(self, logits: Tensor, state: State) -> Tensor:
        """Return the cross-entropy of every sample; it is maximised."""
        return cross_entropy(logits, state["y"])

    def advance(self, state: State, seen: Seen) -> None:
        """Take the one step."""
        state["adv"] = (state["x"] + self.eps * seen.grad.sign()).clamp(0, 1)
