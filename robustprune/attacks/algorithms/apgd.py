"""Auto-PGD (Croce & Hein 2020, arXiv 2003.01690) on the cross-entropy or on the ratio of logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from robustprune.attacks.algorithms.apgd_balls import BALLS
from robustprune.attacks.algorithms.apgd_steps import AdaptiveSteps
from robustprune.attacks.algorithms.dlr import dlr_loss
from robustprune.attacks.contract.attack import Objective, at_least_one
from robustprune.attacks.contract.found import Passes
from robustprune.attacks.contract.losses import cross_entropy
from robustprune.attacks.contract.state import State
from robustprune.attacks.contract.stepped import SteppedAttack, Stepper
from robustprune.errors import InputError

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"ce": cross_entropy, "dlr": dlr_loss}
"""Name -> the loss (m,) of logits (m, classes) and true classes (m,)."""


@dataclass(frozen=True, kw_only=True)
class APGD(SteppedAttack):
    """Auto-PGD: its step size adapts itself. `loss` is 'ce' or 'dlr' (three classes or more).

    `eot` gradients are averaged at every step, which a network with random parts needs (20 in the published
    set for such networks).

    >>> APGD(eps=8/255).name, APGD(eps=8/255, loss="dlr", restarts=5).name
    ('APGD-CE', 'APGD-DLR x5')
    """

    steps: int = 100
    loss: Literal["ce", "dlr"] = "ce"
    restarts: int = 1
    rho: float = 0.75

    norms = tuple(BALLS)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "steps", "restarts")
        if self.loss not in LOSSES:
            raise InputError(f"APGD(loss={self.loss!r}): expected {' or '.join(map(repr, LOSSES))}")

    @property
    def title(self) -> str:
        """The loss is part of the name."""
        return f"APGD-{self.loss.upper()}" + (f" x{self.restarts}" if self.restarts > 1 else "")

    @property
    def objective(self) -> Objective:
        """By `loss`."""
        return "cross-entropy" if self.loss == "ce" else "margin"

    @property
    def budget(self) -> dict[str, int]:
        """Steps of a run, runs, and gradients a step."""
        return {"steps": self.steps, "restarts": self.restarts, **self.averaged}

    @property
    def allowed(self) -> Passes:
        """The points looked at in every run; the last one is asked about alone."""
        return self.passes_of(self.restarts, self.steps)

    @property
    def effort(self) -> float:
        """The points looked at, start and end included, for every restart."""
        return float(self.restarts * self.eot * (self.steps + 1))

    def stepper(self, model: nn.Module) -> Stepper:
        """Return its steps."""
        ball = BALLS[self.norm](eps=self.eps)
        loss = LOSSES[self.loss]
        return APGDSteps(ball=ball, steps=self.steps, rho=self.rho, runs=self.restarts, eot=self.eot, loss=loss)


@dataclass(kw_only=True)
class APGDSteps(AdaptiveSteps):
    """Steps that climb one loss."""

    loss: Callable[[Tensor, Tensor], Tensor]

    def objective(self, logits: Tensor, state: State) -> Tensor:
        """Return the loss of every sample; it is maximised."""
        return self.loss(logits, state["y"])
