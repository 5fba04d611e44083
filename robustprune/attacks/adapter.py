"""The one place where a torchattacks object runs whole. Nothing it returns is believed.

A fresh object for every batch (after an exception the old one would perturb by 127/255, and it leaves state
behind); only samples that are still right; every image the attack shows to the network is checked on the
way, not the last one alone; the batch ends when all its samples are broken. What comes back is detached,
held to the budget and judged by the original model. Two things of torchattacks are never used:
`set_normalization_used` and the object's own report.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robustprune.attacks.base import Attack, Found, Norm
from robustprune.attacks.distance import norms, project
from robustprune.attacks.target import Counted, Target, inside, misclassified

TorchAttacks = Callable[[Tensor, Tensor], Tensor]
"""A torchattacks object: called with images (m, C, H, W) in [0,1] and labels (m,), it returns perturbed
images.
"""


class AllBroken(BaseException):
    """Not an error: the batch holds nothing left to break. No Exception, so that no attack swallows it."""


class Watched(Counted):
    """What a torchattacks object gets as its model: it notices every adversarial image that passes through.

    Row i of an input of the batch's shape counts for sample i when it is misclassified inside sample i's
    budget, whatever the attack meant by it. `best` (m, ...) holds the first such image, `hit` (m, bool)
    says where there is one, `steps` (m, int64) after how many passes.
    """

    def __init__(self, target: Target, x: Tensor, y: Tensor, norm: Norm, eps: float) -> None:
        super().__init__(target.model.net, target.passes, target.device)
        self.target, self.x, self.y, self.norm, self.eps = target, x, y, norm, eps
        self.hit = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self.steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        self.best = x.clone()

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of `x`; remember what is adversarial in it. Raises AllBroken when nothing is
        left.
        """
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
        """Let the original model judge the rows `row` of `adv` (m, ...), and keep what it gets wrong in the
        budget.
        """
        row = row[inside(adv[row], self.x[row], self.norm, self.eps)]
        if len(row):
            row = row[self.target.wrong(adv[row], self.y[row])]
            self.hit[row], self.best[row] = True, adv[row]


@dataclass(frozen=True, kw_only=True)
class LibraryAttack(Attack):
    """An attack that torchattacks carries out whole, on batches of samples that are still right."""

    @abstractmethod
    def make(self, model: nn.Module, seed: int) -> TorchAttacks:
        """Return a fresh torchattacks object for `model`, which takes images in [0,1] and returns logits."""

    def run(self, target: Target, x: Tensor, y: Tensor, seed: int) -> Found:
        """Attack batch by batch; see `Attack.run`. Out of memory halves the batch, with a fresh object."""
        found = Found.nothing(x, target.keep)
        start = 0
        while start < len(x):
            row = torch.arange(start, min(start + target.batch_size, len(x)))
            reason = self._batch(target, x, y, row, seed, found)
            if reason is not None and target.shrink(reason):
                continue
            if reason is not None:
                found.fail(row, reason)
            start += len(row)
            target.tick(len(row))
        return found

    def _batch(self, target: Target, x: Tensor, y: Tensor, row: Tensor, seed: int, found: Found) -> Exception | None:
        """Attack the samples `row`; return why that was not possible."""
        try:
            watched = Watched(target, x[row].to(target.device), y[row].to(target.device), self.norm, self.eps)
            torch.manual_seed(seed)
            attack_once(lambda: self.make(watched, seed), watched.eval())
        except Exception as reason:
            return reason.with_traceback(None)
        distance = norms(watched.best - watched.x, self.norm)
        found.put(row, watched.best, watched.hit, distance, watched.steps)
        return None


@dataclass(frozen=True, kw_only=True)
class TorchAttack(LibraryAttack):
    """A torchattacks attack of one's own, or any object called with images and labels that returns images.

    `build` makes it for a model that takes images in [0,1]. `norm` and `eps` are the budget its results are
    held to, whatever it was built with: what lies beyond is projected back and judged again. `passes` is
    the expected number of forward-and-backward passes a sample; it places the attack in the chain.

    >>> import torchattacks
    >>> mine = TorchAttack(name="mine", build=lambda model: torchattacks.MIFGSM(model, eps=8/255), eps=8/255)
    >>> mine.name, mine.threat
    ('mine', 'Linf 8/255')
    """

    build: Callable[[nn.Module], TorchAttacks]
    passes: float = 50.0

    @property
    def effort(self) -> float:
        """What the user said it costs."""
        return self.passes

    def make(self, model: nn.Module, seed: int) -> TorchAttacks:
        """Return what `build` returns."""
        return self.build(model)


def attack_once(make: Callable[[], Any], watched: Watched) -> None:
    """Run a fresh attack object on the watched batch and judge what it returns; `watched` then holds the
    result.

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
    watched.settle(project(adv, x, watched.norm, watched.eps), (~watched.hit).nonzero().flatten())
