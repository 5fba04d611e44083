"""Attacks cut open into steps: what a step is, and what the samples carry from one step to the next.

A step is taken for all samples in the batch together, but every sample has its own step count, its own
restart and its own optimiser state, so what happens to it does not depend on who else is in the batch.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor, nn

from robustprune.attacks.base import Attack, Found
from robustprune.attacks.distance import keys
from robustprune.attacks.first_success import FirstSuccess
from robustprune.attacks.losses import cross_entropy, margin
from robustprune.attacks.parallel import in_parallel
from robustprune.attacks.smallest_success import SmallestSuccess
from robustprune.attacks.state import State
from robustprune.attacks.target import Target

__all__ = ["SteppedAttack", "Stepper", "cross_entropy", "margin"]


class Stepper(Protocol):
    """The steps of one attack. Every method works on samples independently of each other."""

    steps: int
    """Gradient steps of one run."""
    steady: int
    """The step (from 0) since which all steps are made by one rule; an iterate that comes back circles."""
    runs: int
    """How often a sample that resists is started anew: restarts, or values of c."""
    retries: int
    """How many runs more a sample gets that resisted but came near in one of them."""

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Put the first iterate (and further state) of run `state['run']` into `state`, which holds x and
        y.
        """

    def objective(self, logits: Tensor, state: State) -> Tensor:
        """Return (m,) what its gradient is wanted of, from logits (m, classes) at the iterates."""

    def advance(self, state: State, grad: Tensor) -> None:
        """Replace `state['adv']` by the next iterate, given the objective's gradient at the present one."""


@dataclass(frozen=True, kw_only=True)
class SteppedAttack(Attack):
    """An attack that the engine runs step by step, each sample on its own account."""

    @property
    def stop_early(self) -> bool:
        """Of an attack that minimises: whether a success inside the budget ends the run all the same."""
        return True

    @property
    def exhaustive(self) -> bool:
        """Of an attack that minimises: whether all runs are made, even for a sample that one has broken."""
        return False

    @abstractmethod
    def stepper(self, model: nn.Module) -> Stepper:
        """Return the torchattacks attack on `model`, cut open."""

    def run(self, target: Target, x: Tensor, y: Tensor, seed: int) -> Found:
        """Attack sample by sample; see `Attack.run`."""
        return in_parallel(target, keys(x), lambda mine, row: self.share(mine, x[row], y[row], seed))

    def share(self, target: Target, x: Tensor, y: Tensor, seed: int) -> Found:
        """Attack one worker's share of the samples."""
        return attack_stepwise(self, target, x, y, seed)


def attack_stepwise(attack: SteppedAttack, target: Target, x: Tensor, y: Tensor, seed: int) -> Found:
    """Attack `x` (m, C, H, W): where a low-precision copy is at hand, first with that, the survivors in
    float32.
    """
    if attack.minimises:
        return SmallestSuccess(attack, target, x, y, seed, guide=target.model).run()
    if target.low is None:
        return FirstSuccess(attack, target, x, y, seed, guide=target.model).run()
    early = replace(target, tick=lambda decided: None)
    found = FirstSuccess(attack, early, x, y, seed, guide=target.low, hasty=True).run()
    target.batch_size = early.batch_size
    left = (~found.success).nonzero().flatten()
    target.tick(len(x) - len(left))
    if len(left):
        found.merge(left, FirstSuccess(attack, target, x[left], y[left], seed, guide=target.model).run())
    return found
