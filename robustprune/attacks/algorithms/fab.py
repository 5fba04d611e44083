"""Targeted FAB (Croce & Hein 2020, arXiv 1907.02044) on torchattacks' class, made safe.

Its loop equals the published one line by line; what departs is around it: torchattacks takes all other
classes as targets (the published attack the nine likeliest), writes gradients onto the model's parameters
through `backward`, and calls `view` on gradients that need not be contiguous (a network in channels_last
fails). FAB-T with one restart draws nothing at random. It has a quirk that is kept: a sample with a zero
gradient has no plane to project on and stays where it is from then on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torchattacks
from torch import Tensor, nn

from robustprune.attacks.algorithms.targets import TargetedAttack, check_targets
from robustprune.attacks.contract.attack import FORWARD, Objective
from robustprune.attacks.contract.library import TorchAttacks


@dataclass(frozen=True, kw_only=True)
class FABT(TargetedAttack):
    """FAB towards the likeliest wrong classes in turn: the nearest crossing, of which eps only decides what counts.

    `targets` None: nine, or all wrong classes where there are fewer. Works from two classes on.

    >>> FABT(eps=8/255).name, FABT(eps=8/255, n_classes=2).targeted_classes
    ('FAB-T', 1)
    """

    norms = ("Linf", "L2")

    @property
    def title(self) -> str:
        """As the field calls it."""
        return "FAB-T"

    @property
    def objective(self) -> Objective:
        """The distance to a boundary."""
        return "margin"

    @property
    def budget(self) -> dict[str, int]:
        """Steps for each target class, and target classes."""
        return {"steps": self.steps, "targets": self.targeted_classes}

    @property
    def effort(self) -> float:
        """Each step takes a gradient and one more prediction."""
        return self.targeted_classes * self.steps * (1 + FORWARD)

    def make(self, model: nn.Module, seed: int) -> TorchAttacks:
        """Return a fresh attack object."""
        return TargetedFAB(
            model,
            norm=self.norm,
            eps=self.eps,
            steps=self.steps,
            seed=seed,
            multi_targeted=True,
            n_classes=self.targeted_classes + 1,
        )


class TargetedFAB(torchattacks.FAB):
    """torchattacks' FAB towards the `n_target_classes` likeliest wrong classes, nearest boundary crossing kept."""

    def get_diff_logits_grads_batch_targeted(
        self, imgs: Tensor, la: Tensor, la_target: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return z_target - z_label (m, 1) and its input gradient (m, 1, C, H, W), contiguous."""
        point = imgs.detach().requires_grad_()
        with torch.enable_grad():
            logits = self.get_logits(point)
            gap = logits.gather(1, la_target[:, None]) - logits.gather(1, la[:, None])
            (grad,) = torch.autograd.grad(gap.sum(), point)
        return gap.detach(), grad.contiguous().unsqueeze(1)

    def get_logits(self, inputs: Tensor) -> Tensor:
        """Return the logits (m, k); InputError where there are fewer classes than the attack aims at."""
        logits = torch.as_tensor(super().get_logits(inputs))
        check_targets(self.n_target_classes, logits)
        return logits

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Attack a batch (m, C, H, W); rows that were not broken within eps come back clean."""
        return torch.as_tensor(self.perturb(images.detach().contiguous(), labels)).detach()
