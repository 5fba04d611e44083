"""Random noise: the attack that any real one must beat (check 18)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from robustprune.attacks.contract.attack import Knowledge
from robustprune.attacks.contract.drawn import DrawnAttack
from robustprune.attacks.contract.found import Passes


@dataclass(frozen=True, kw_only=True)
class Noise(DrawnAttack):
    """`draws` random perturbations as large as the budget: in the cube under Linf, on the sphere under L2 and L1.

    A sample is broken by the first draw that the original model gets wrong.

    >>> Noise(eps=8/255, draws=10).name
    'noise x10'
    """

    @property
    def title(self) -> str:
        """The number of draws."""
        return f"noise x{self.draws}"

    @property
    def alone(self) -> bool:
        """It stands outside the chain: a control says nothing about what an attack before it has left."""
        return True

    @property
    def knowledge(self) -> Knowledge:
        """Nothing."""
        return "none"

    @property
    def budget(self) -> dict[str, int]:
        """Draws."""
        return {"draws": self.draws}

    @property
    def allowed(self) -> Passes:
        """A pass forward for each draw."""
        return Passes(forwards=self.draws)

    @property
    def effort(self) -> float:
        """Forward passes only, each about half of a pass forward and backward."""
        return self.draws / 2

    def perturbation(self, like: Tensor, sources: Sequence[np.random.Generator]) -> Tensor:
        """Return one draw a sample, in the shape of `like` (m, ...)."""
        return self.ball.noise(like, sources)
