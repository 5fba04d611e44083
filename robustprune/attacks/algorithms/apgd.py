"""Auto-PGD (Croce & Hein 2020, arXiv 2003.01690) on the cross-entropy or on the ratio of logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torchattacks
from torch import Tensor, nn

from robustprune.attacks.algorithms.apgd_run import SingleRun
from robustprune.attacks.algorithms.dlr import dlr_loss
from robustprune.attacks.contract.attack import Objective, at_least_one
from robustprune.attacks.contract.library import LibraryAttack, TorchAttacks
from robustprune.attacks.contract.losses import cross_entropy
from robustprune.errors import InputError


@dataclass(frozen=True, kw_only=True)
class APGD(LibraryAttack):
    """Auto-PGD: its step size adapts itself. `loss` is 'ce' or 'dlr' (three classes or more).

    `eot` gradients are averaged at every step, which a network with random parts needs (20 in the published
    set for such networks).

    >>> APGD(eps=8/255).name, APGD(eps=8/255, loss="dlr", restarts=5).name
    ('APGD-CE', 'APGD-DLR x5')
    """

    steps: int = 100
    loss: Literal["ce", "dlr"] = "ce"
    restarts: int = 1
    eot: int = 1
    rho: float = 0.75

    norms = ("Linf", "L2")

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "steps", "restarts", "eot")
        if self.loss not in ("ce", "dlr"):
            raise InputError(f"APGD(loss={self.loss!r}): expected 'ce' or 'dlr'")

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
        return {"steps": self.steps, "restarts": self.restarts, "eot": self.eot}

    @property
    def effort(self) -> float:
        """Gradient steps, the start included, for every restart."""
        return float(self.restarts * self.eot * (self.steps + 1))

    def make(self, model: nn.Module, seed: int) -> TorchAttacks:
        """Return a fresh attack object."""
        return AutoPGD(
            model,
            norm=self.norm,
            eps=self.eps,
            steps=self.steps,
            n_restarts=self.restarts,
            seed=seed,
            loss=self.loss,
            eot_iter=self.eot,
            rho=self.rho,
        )


class AutoPGD(SingleRun, torchattacks.APGD):
    """torchattacks' APGD with the published run; `loss` is 'ce' or 'dlr'."""

    def _loss(self, logits: Tensor, y: Tensor, target: Tensor | None) -> Tensor:
        return cross_entropy(logits, y) if self.loss == "ce" else dlr_loss(logits, y)
