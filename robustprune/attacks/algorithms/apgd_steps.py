"""The steps of Auto-PGD (Croce & Hein 2020, arXiv 2003.01690), shared by its two kinds.

Every quantity of the algorithm belongs to one sample, so each is at an iteration of its own and leaves at its first
success. Where torchattacks 3.5.1 and ours differ:

- in torchattacks' APGDT under L2 every sample moves by the step size of the FIRST sample of the batch, so that halving
  acts on the wrong samples; early public code had this slip too;
- its start is drawn for the whole batch, so outcomes depend on the batch size. Here a start is drawn from the seed, the
  content of the image and the number of the run.

Under Linf and from the same start the iterates equal those of torchattacks (a test holds that). The iterate after the
last step is only judged: its gradient would lead nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from robustprune.attacks.algorithms.apgd_balls import Ball
from robustprune.attacks.contract.randomness import generators
from robustprune.attacks.contract.state import State
from robustprune.attacks.contract.stepped import Seen
from robustprune.attacks.contract.threat import rows

MOMENTUM = 0.75
"""alpha of equation (1): the share of the new step; the rest repeats the last move."""

FIRST_CHECK, SHRINK, SHORTEST = 0.22, 0.03, 0.06
"""Checkpoints (section 3.1): after 22 % of the iterations, then at gaps shrinking by 3 % down to 6 %."""


def checkpoints(steps: int) -> list[int]:
    """Return the iterations after which the step size may be halved (section 3.1, rounded as public code does).

    >>> checkpoints(100)
    [22, 41, 57, 70, 80, 87, 93, 99]
    """
    gap, shrink, shortest = (max(int(share * steps), 1) for share in (FIRST_CHECK, SHRINK, SHORTEST))
    found, at = [], gap
    while at <= steps:
        found.append(at)
        gap = max(gap - shrink, shortest)
        at += gap
    return found


def gaps(steps: int) -> Tensor:
    """Return (steps + 1,) the iterations since the checkpoint before at every checkpoint, 0 elsewhere.

    >>> gaps(5)
    tensor([0., 1., 1., 1., 1., 1.])
    """
    marks = checkpoints(steps)
    table = torch.zeros(steps + 1)
    for before, mark in zip([0, *marks], marks, strict=False):
        table[mark] = mark - before
    return table


@dataclass(kw_only=True)
class AdaptiveSteps:
    """Steps with momentum whose length is halved where progress is poor, `steps` of them after the start.

    `rho`: the loss has to rise in more than this share of the iterations between two checkpoints. `eot` passes are
    averaged at every iterate.
    """

    memory = True
    gradient = True
    roams = False
    steady = 0
    retries = 0
    ball: Ball
    steps: int
    rho: float
    runs: int
    eot: int
    gaps: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.gaps = gaps(self.steps)

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Begin at a random point on the surface of the ball; the first iterate seen is the best."""
        x = state["x"]
        state["adv"] = state["before"] = self.ball.start(x, generators(seed, keys, state["run"] + 1))
        state["best"], state["best_grad"] = torch.zeros_like(x), torch.zeros_like(x)
        state["length"] = x.new_full((len(x),), 2 * self.ball.eps)
        state["best_loss"] = state["checked_loss"] = x.new_full((len(x),), -torch.inf)
        state["last_loss"], state["rises"] = x.new_full((len(x),), torch.inf), x.new_zeros(len(x))
        state["halved"] = torch.ones_like(state["step"], dtype=torch.bool)

    def advance(self, state: State, seen: Seen) -> None:
        """Learn from the iterate, go back to the best one where a checkpoint says so, then move."""
        self.learn(state, seen)
        at, grad = self.check(state, seen.grad)
        self.move(state, at, grad)

    def learn(self, state: State, seen: Seen) -> None:
        """Remember the best iterate; count how often the loss rose since the last checkpoint.

        The loss after the first move is compared with 0, an unused row of the public code's table, and so it is here:
        one more or one less rise in the first 22. Rows of the best iterates are overwritten where they are; done
        twice (memory ran out on the way) it changes nothing.
        """
        value = seen.value
        better = value > state["best_loss"]
        place = better.nonzero().flatten()
        state["best"].index_copy_(0, place, state["adv"].index_select(0, place))
        state["best_grad"].index_copy_(0, place, seen.grad.index_select(0, place))
        state["best_loss"] = torch.where(better, value, state["best_loss"])
        state["rises"] = state["rises"] + (value > state["last_loss"])
        state["last_loss"] = torch.where(state["step"] == 1, 0, value)

    def check(self, state: State, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Halve the step where progress was poor (conditions 1 and 2); return the points to go on from, with gradients.

        Those are the present ones, or the best where the step was halved.
        """
        at, since = state["adv"], self.gaps.to(grad.device)[state["step"] - 1]
        due = since > 0
        if not bool(due.any()):
            return at, grad
        stuck = ~state["halved"] & (state["checked_loss"] >= state["best_loss"])
        halve = due & ((state["rises"] <= self.rho * since) | stuck)
        state["halved"] = torch.where(due, halve, state["halved"])
        state["checked_loss"] = torch.where(due, state["best_loss"], state["checked_loss"])
        state["rises"] = state["rises"].masked_fill(due, 0)
        state["length"] = torch.where(halve, state["length"] / 2, state["length"])
        place = halve.nonzero().flatten()
        best = (state[name].index_select(0, place) for name in ("best", "best_grad"))
        return at.index_copy(0, place, next(best)), grad.index_copy(0, place, next(best))

    def move(self, state: State, at: Tensor, grad: Tensor) -> None:
        """Make one step with momentum from `at` (equation 1), each half of it projected; the first has none."""
        share = rows(torch.where(state["step"] == 1, 1.0, MOMENTUM), at)
        step = self.ball.steepest(grad, at).mul_(rows(state["length"], at))
        plain = self.ball.project(step.add_(at), state["x"])
        repeated = (at - state["before"]).mul_(1 - share)
        there = plain.sub_(at).mul_(share).add_(at).add_(repeated)
        state["before"], state["adv"] = at, self.ball.project(there, state["x"])
