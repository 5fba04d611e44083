"""Adversarial images made on another network: does what breaks the parent break the pruned one too?"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

from torch import Tensor

from robustprune.attacks.base import Found
from robustprune.attacks.first_success import FirstSuccess
from robustprune.attacks.fold import SAMPLES, attack_copy
from robustprune.attacks.pgd import PGD
from robustprune.attacks.target import Counted, Target
from robustprune.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Transfer(PGD):
    """PGD with the gradients of the parents (`evaluate(parent=...)`), every iterate tried on the attacked
    network.

    Trying every iterate, not the last alone, is the stronger form: it misses none. Each parent is used in
    turn, on the samples that resist. Its outcomes are a column of their own: it sees all samples that are
    right, and an attack of the same threat model sees its victims too.

    >>> Transfer(eps=8/255).name
    'transfer PGD-20'
    """

    @property
    def title(self) -> str:
        """What is transferred."""
        return f"transfer {super().title}"

    @property
    def alone(self) -> bool:
        """It stands outside the chain of its threat model."""
        return True

    @property
    def needs_parent(self) -> bool:
        """It cannot be run on a network that has no parent."""
        return True

    def run(self, target: Target, x: Tensor, y: Tensor, seed: int) -> Found:
        """Attack with the gradients of each parent; see `Attack.run`. Raises InputError without a parent."""
        if not target.parents:
            raise InputError(f"{self.name}: needs the network to transfer from; call evaluate(..., parent=network)")
        sample = x[:SAMPLES].to(target.device)
        guides = tuple(attack_copy(parent, sample)[0] for parent in target.parents)
        mine = replace(target, parents=guides)
        found = super().run(mine, x, y, seed)
        target.batch_size = mine.batch_size
        return found

    def share(self, target: Target, x: Tensor, y: Tensor, seed: int) -> Found:
        """Attack one worker's share; the parents one after the other, on the samples that resist."""
        found = Found.nothing(x, target.keep)
        quiet = replace(target, tick=lambda decided: None)
        for parent in target.parents:
            left = (~found.success).nonzero().flatten()
            if len(left):
                guide = Counted(copy.deepcopy(parent), target.passes, target.device).eval()
                window = FirstSuccess(self, quiet, x[left], y[left], seed, guide=guide, foreign=True)
                found.merge(left, window.run())
        target.batch_size = quiet.batch_size
        target.tick(len(x))
        return found
