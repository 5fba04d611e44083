"""Adversarial images made on another network: does what breaks the parent break the pruned one too?"""

from __future__ import annotations

from dataclasses import dataclass

from robustprune.attacks.algorithms.pgd import PGD
from robustprune.attacks.contract.attack import Knowledge
from robustprune.attacks.contract.found import Passes


@dataclass(frozen=True, kw_only=True)
class Transfer(PGD):
    """PGD with the gradients of the parents (`evaluate(parent=...)`), every iterate tried on the attacked network.

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
    def knowledge(self) -> Knowledge:
        """The parents' gradients; of the network itself only whether an image is misclassified."""
        return "the parent's gradients"

    @property
    def allowed(self) -> Passes:
        """PGD's on one parent, and as many queries of the attacked network; with several parents, of each."""
        guide = super().allowed
        return guide + Passes(forwards=guide.backwards)

    @property
    def alone(self) -> bool:
        """It stands outside the chain of its threat model."""
        return True

    @property
    def needs_parent(self) -> bool:
        """It cannot be run on a network that has no parent."""
        return True
