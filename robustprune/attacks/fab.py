"""Targeted FAB (Croce & Hein 2020, arXiv 1907.02044) on torchattacks' class, made safe.

Its loop equals the published one line by line; what departs is around it: torchattacks takes all other
classes as targets (the published attack the nine likeliest), writes gradients onto the model's parameters
through `backward`, and calls `view` on gradients that need not be contiguous (a network in channels_last
fails). FAB-T with one restart draws nothing at random. It has a quirk that is kept: a sample with a zero
gradient has no plane to project on and stays where it is from then on.
"""

from __future__ import annotations

import torch
import torchattacks
from torch import Tensor

from robustprune.attacks.apgd import check_targets


class TargetedFAB(torchattacks.FAB):
    """torchattacks' FAB towards the `n_target_classes` likeliest wrong classes, nearest boundary crossing
    kept."""

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
