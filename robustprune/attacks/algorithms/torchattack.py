"""An attack of one's own: whatever can be called as torchattacks' objects are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from robustprune.attacks.contract.attack import Knowledge, Objective
from robustprune.attacks.contract.library import LibraryAttack, TorchAttacks


@dataclass(frozen=True, kw_only=True)
class TorchAttack(LibraryAttack):
    """A torchattacks attack of one's own, or any object called with images and labels that returns images.

    `build` makes it for a model that takes images in [0,1]. `norm` and `eps` are the budget its results are
    held to, whatever it was built with: what lies beyond is projected back and judged again. `passes` is
    the expected number of forward-and-backward passes a sample; it places the attack in the chain. `knows` and `climbs`
    are what the attack sees and the kind of loss it climbs: the evidence goes by them, so say so where they differ.

    >>> import torchattacks
    >>> mine = TorchAttack(name="mine", build=lambda model: torchattacks.MIFGSM(model, eps=8/255), eps=8/255)
    >>> mine.name, mine.threat
    ('mine', 'Linf 8/255')
    """

    build: Callable[[nn.Module], TorchAttacks]
    passes: float = 50.0
    knows: Knowledge = "white box"
    climbs: Objective = "cross-entropy"

    @property
    def knowledge(self) -> Knowledge:
        """What the user said it sees."""
        return self.knows

    @property
    def objective(self) -> Objective:
        """What the user said it climbs."""
        return self.climbs

    @property
    def budget(self) -> dict[str, int]:
        """The passes that the user said it makes."""
        return {"passes": round(self.passes)}

    @property
    def effort(self) -> float:
        """What the user said it costs."""
        return self.passes

    def make(self, model: nn.Module, seed: int) -> TorchAttacks:
        """Return what `build` returns."""
        return self.build(model)
