"""The one place where a torchattacks object runs whole. Nothing it returns is believed.

A fresh object for every batch (after an exception the old one would perturb by 127/255, and it leaves state
behind); only samples that are still right; every image the attack shows to the network is checked on the
way, not the last one alone; the batch ends when all its samples are broken. What comes back is detached,
held to the budget and judged by the original model. Two things of torchattacks are never used:
`set_normalization_used` and the object's own report.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from robustprune.attacks.contract.found import Found
from robustprune.attacks.contract.library import LibraryAttack
from robustprune.attacks.contract.target import Counted, Target, misclassified
from robustprune.attacks.contract.threat import Threat
from robustprune.attacks.engine.batches import in_batches


class AllBroken(BaseException):
    """Not an error: the batch holds nothing left to break. No Exception, so that no attack swallows it."""


class Watched(Counted):
    """What a torchattacks object gets as its model: it notices every adversarial image that passes through.

    Row i of an input of the batch's shape counts for sample i when it is misclassified inside sample i's
    budget, whatever the attack meant by it. `best` (m, ...) holds the first such image, `hit` (m, bool)
    says where there is one, `steps` (m, int64) after how many passes.
    """

    def __init__(self, target: Target, x: Tensor, y: Tensor, ball: Threat) -> None:
        super().__init__(target.model.net, target.passes, target.device)
        self.target, self.x, self.y, self.ball = target, x, y, ball
        self.hit = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self.steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        self.best = x.clone()

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of `x`; remember what is adversarial in it. Raises AllBroken when nothing is left."""
        logits = super().forward(x)
        self.steps += ~self.hit
        if x.shape == self.x.shape:
            wrong = misclassified(logits.detach(), self.y) & ~self.hit
            if wrong.any():
                self.settle(x.detach(), wrong.nonzero().flatten())
            if self.hit.all():
                raise AllBroken
        return logits

    @torch.no_grad()
    def settle(self, adv: Tensor, row: Tensor) -> None:
        """Let the original model judge the rows `row` of `adv` (m, ...); keep what it gets wrong in the budget."""
        row = row[self.ball.inside(adv[row], self.x[row])]
        if len(row):
            row = row[self.target.wrong(adv[row], self.y[row])]
            self.hit[row], self.best[row] = True, adv[row]


def attack_once(make: Callable[[], Any], watched: Watched) -> None:
    """Run a fresh attack object on the watched batch and judge what it returns; `watched` then holds the result.

    A result beyond the budget is projected onto it and judged there: it never counts as it came. Raises
    RuntimeError for a result that is not a tensor of the batch's shape, or that is not finite where the
    sample was not broken on the way: a broken attack must not look like a robust network.
    """
    x = watched.x
    try:
        result = make()(x.clone(), watched.y.clone())
    except AllBroken:
        return
    if not isinstance(result, Tensor) or result.shape != x.shape:
        raise RuntimeError(f"the attack returned no images of shape {tuple(x.shape)}")
    adv = result.detach().to(x)
    lost = ~torch.isfinite(adv.flatten(1)).all(1) & ~watched.hit
    if lost.any():
        raise RuntimeError(f"the attack returned {int(lost.sum())} images that are not finite")
    watched.settle(watched.ball.project(adv, x), (~watched.hit).nonzero().flatten())


def run_library(attack: LibraryAttack, target: Target, x: Tensor, y: Tensor, seed: int) -> Found:
    """Attack the samples `x` (m, C, H, W) of class `y` batch by batch, each with a fresh object."""
    found = Found.nothing(x, target.keep)

    def batch(row: Tensor) -> None:
        watched = Watched(target, x[row].to(target.device), y[row].to(target.device), attack.ball)
        torch.manual_seed(seed)
        attack_once(lambda: attack.make(watched, seed), watched.eval())
        found.put(row, watched.best, watched.hit, attack.ball.size(watched.best - watched.x), watched.steps)

    in_batches(target, len(x), found, batch)
    return found
