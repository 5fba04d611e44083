"""HopSkipJump (Chen, Jordan & Wainwright 2020, arXiv 1904.02144): it sees the predicted class alone.

Written by the paper, one query a step, each sample with draws of its own. What is not as published, and why:

- a start is looked for until one is found, not 100 times, and only every sixth image is noise pixel by pixel; the
  others are of larger blocks, since networks give all fine noise one class, whose own samples would have no start;
- a probe is at least as long as float32 can tell apart on [0,1], and the search ends where float32 does; without that
  nothing is seen of the boundary on large images;
- the first probe follows the rule of all others; public code takes 0.1 there.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from robustprune.attacks.algorithms.hopskipjump_steps import JumpsL2, JumpsLinf
from robustprune.attacks.contract.attack import FORWARD, Knowledge, Objective, at_least_one
from robustprune.attacks.contract.found import Passes
from robustprune.attacks.contract.stepped import SteppedAttack, Stepper
from robustprune.errors import InputError

STEPS = {"Linf": JumpsLinf, "L2": JumpsL2}
"""Norm -> the steps under it."""


@dataclass(frozen=True, kw_only=True)
class HopSkipJump(SteppedAttack):
    """Walks along the decision boundary towards the sample, and ends at the first wrong label inside the budget.

    `queries` are all that a run asks, its start included. `b0`: with how many random probes the first direction is
    estimated; the t-th takes sqrt(t) times as many. `gamma`: how long probes are, as a share of the published length.

    >>> HopSkipJump(eps=8/255).name, HopSkipJump(eps=0.5, norm="L2", queries=1000).name
    ('HopSkipJump', 'HopSkipJump-1000')
    """

    queries: int = 5000
    restarts: int = 1
    b0: int = 100
    gamma: float = 1.0

    norms = tuple(STEPS)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "restarts", "b0")
        if self.queries < 2:
            raise InputError(f"HopSkipJump(queries={self.queries}): expected at least 2")
        if not self.gamma > 0:
            raise InputError(f"HopSkipJump(gamma={self.gamma}): expected more than 0")

    @property
    def title(self) -> str:
        """The budget is part of the name where it is not the usual one."""
        return "HopSkipJump" + (f"-{self.queries}" if self.queries != 5000 else "")

    @property
    def knowledge(self) -> Knowledge:
        """Labels, by asking."""
        return "labels by query"

    @property
    def objective(self) -> Objective:
        """None: it sees no loss."""
        return "none"

    @property
    def budget(self) -> dict[str, int]:
        """Queries of a run, and runs."""
        return {"queries": self.queries, "restarts": self.restarts, **self.averaged}

    @property
    def allowed(self) -> Passes:
        """Every query; the last is asked once."""
        return Passes(forwards=self.restarts * ((self.queries - 1) * self.eot + 1))

    @property
    def effort(self) -> float:
        """Forward passes alone."""
        return self.restarts * self.queries * self.eot * FORWARD

    def stepper(self, model: nn.Module) -> Stepper:
        """Return its steps; the last query is the judge's."""
        make, steps = STEPS[self.norm], self.queries - 1
        return make(ball=self.ball, steps=steps, runs=self.restarts, b0=self.b0, gamma=self.gamma, eot=self.eot)
