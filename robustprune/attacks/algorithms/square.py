"""Square (Andriushchenko et al. 2020, arXiv 1912.00049): random search by logits alone, one query a step.

The iterates are those of the public code of AutoAttack and of torchattacks (a test follows their loop), each sample
with draws of its own stream. Where they depart from each other or fail: torchattacks rescales the schedule of the
square's size to the number of queries, which AutoAttack does not, nor is it done here. Neither puts a square into the
last row and column, which the paper does (Algorithm 2) and images of 8 x 8 pixels cannot do without: here it is as in
the paper. Windows and the tiles of the start are cut where they do not fit the image; there public code fails.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from robustprune.attacks.algorithms.square_steps import SquareL2, SquareLinf
from robustprune.attacks.contract.attack import FORWARD, Knowledge, Objective, at_least_one
from robustprune.attacks.contract.found import Passes
from robustprune.attacks.contract.stepped import SteppedAttack, Stepper
from robustprune.errors import InputError

STEPS = {"Linf": SquareLinf, "L2": SquareL2}
"""Norm -> the steps under it."""


@dataclass(frozen=True, kw_only=True)
class Square(SteppedAttack):
    """Square: it sees logits alone, so it does not care whether gradients are masked.

    A run asks the network once about its start and then `queries` times, `eot` passes averaged each time.

    >>> Square(eps=8/255).name, Square(eps=8/255, queries=100).name
    ('Square', 'Square-100')
    """

    queries: int = 5000
    restarts: int = 1
    p: float = 0.8
    """Share of the pixels that the first squares cover."""

    norms = tuple(STEPS)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "queries", "restarts")
        if not 0 < self.p < 1:
            raise InputError(f"Square(p={self.p}): expected a share of the image between 0 and 1")

    @property
    def title(self) -> str:
        """The budget is part of the name where it is not the published one."""
        return "Square" + (f"-{self.queries}" if self.queries != 5000 else "")

    @property
    def knowledge(self) -> Knowledge:
        """Logits, by asking."""
        return "logits by query"

    @property
    def objective(self) -> Objective:
        """A difference of logits."""
        return "margin"

    @property
    def budget(self) -> dict[str, int]:
        """Queries of a run after its start, runs, and passes a query."""
        return {"queries": self.queries, "restarts": self.restarts, **self.averaged}

    @property
    def allowed(self) -> Passes:
        """The start, and every query after it."""
        return Passes(forwards=self.restarts * (self.queries * self.eot + 1))

    @property
    def effort(self) -> float:
        """Forward passes alone."""
        return self.restarts * (self.queries + 1) * self.eot * FORWARD

    def stepper(self, model: nn.Module) -> Stepper:
        """Return its steps; the last query is the judge's."""
        return STEPS[self.norm](eps=self.eps, p=self.p, steps=self.queries, runs=self.restarts, eot=self.eot)
