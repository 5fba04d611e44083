"""Auto-PGD (Croce & Hein 2020, arXiv 2003.01690) towards several wrong classes in turn."""

from __future__ import annotations

from dataclasses import dataclass

import torchattacks
from torch import Tensor, nn

from robustprune.attacks.algorithms.apgd_run import SingleRun
from robustprune.attacks.algorithms.dlr import targeted_dlr_loss
from robustprune.attacks.algorithms.targets import TargetedAttack
from robustprune.attacks.contract.attack import Objective, at_least_one
from robustprune.attacks.contract.library import TorchAttacks
from robustprune.errors import InputError


@dataclass(frozen=True, kw_only=True)
class APGDT(TargetedAttack):
    """Auto-PGD on the targeted DLR loss, towards the likeliest wrong classes of each image in turn.

    `targets` None: nine, or all wrong classes where there are fewer. Needs four classes.

    >>> APGDT(eps=8/255).name, APGDT(eps=8/255).effort, APGDT(eps=8/255, n_classes=5).targeted_classes
    ('APGD-T', 909.0, 4)
    """

    restarts: int = 1
    rho: float = 0.75

    norms = ("Linf", "L2")

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "restarts")
        if self.n_classes < 4:
            raise InputError(
                f"APGDT(n_classes={self.n_classes}): the targeted DLR loss needs 4 classes; "
                "APGD(loss='dlr') needs 3, APGD(loss='ce') 2"
            )

    @property
    def title(self) -> str:
        """As the field calls it."""
        return "APGD-T" + (f" x{self.restarts}" if self.restarts > 1 else "")

    @property
    def objective(self) -> Objective:
        """The targeted DLR loss."""
        return "margin"

    @property
    def budget(self) -> dict[str, int]:
        """Steps of a run, runs, and target classes."""
        return {"steps": self.steps, "restarts": self.restarts, "targets": self.targeted_classes}

    @property
    def effort(self) -> float:
        """Gradient steps, the start included, for every class."""
        return float(self.targeted_classes * self.restarts * (self.steps + 1))

    def make(self, model: nn.Module, seed: int) -> TorchAttacks:
        """Return a fresh attack object."""
        return TargetedAutoPGD(
            model,
            norm=self.norm,
            eps=self.eps,
            steps=self.steps,
            n_restarts=self.restarts,
            seed=seed,
            rho=self.rho,
            n_classes=self.targeted_classes + 1,
        )


class TargetedAutoPGD(SingleRun, torchattacks.APGDT):
    """torchattacks' APGDT with the published run: the `n_target_classes` likeliest wrong classes in turn."""

    def _loss(self, logits: Tensor, y: Tensor, target: Tensor | None) -> Tensor:
        if target is None:
            raise InputError("TargetedAutoPGD: no target class; call the attack object, not its single run")
        return targeted_dlr_loss(logits, y, target)
