"""Attacks cut open into steps: what a step is, and what the samples carry from one step to the next.

A step is taken for all samples in the batch together, but every sample has its own step count, its own restart and
its own optimiser state, so what happens to it does not depend on who else is in the batch.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from robustprune.attacks.base import Attack, Found
from robustprune.attacks.distance import keys
from robustprune.attacks.parallel import in_parallel
from robustprune.attacks.target import Target

State = dict[str, Tensor]
"""Tensors whose first dimension is the samples in the batch: 'x', 'y', the iterate 'adv', 'step', 'restart', ...
and whatever the attack adds."""


class Stepper(Protocol):
    """The steps of one attack. Every method works on samples independently of each other."""

    steps: int
    """Gradient steps of one run."""
    runs: int
    """How often a sample that resists is started anew: restarts, or values of c."""

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Put the first iterate (and further state) of run `state['restart']` into `state`, which holds x and y."""

    def objective(self, logits: Tensor, state: State) -> Tensor:
        """Return (m,) what its gradient is wanted of, from logits (m, classes) at the iterates."""

    def advance(self, state: State, grad: Tensor) -> None:
        """Replace `state['adv']` by the next iterate, given the objective's gradient at the present one."""


@dataclass(frozen=True, kw_only=True)
class SteppedAttack(Attack):
    """An attack that the engine runs step by step, each sample on its own account."""

    @property
    def minimises(self) -> bool:
        """Whether the smallest success is looked for (CW); otherwise any success inside the budget ends the attack."""
        return False

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
        from robustprune.attacks.sorting import attack_stepwise

        return attack_stepwise(self, target, x, y, seed)


def size(state: State) -> int:
    """Return how many samples a state holds; an empty dictionary holds none."""
    return len(state["row"]) if state else 0


def take(state: State, index: Tensor | slice) -> State:
    """Return the samples `index` (numbers, a mask or a slice) of a state."""
    return {name: value[index] for name, value in state.items()}


def join(states: Sequence[State]) -> State:
    """Put the samples of several states behind each other."""
    states = [state for state in states if size(state)] or list(states[:1])
    if len(states) == 1:
        return states[0]
    return {name: torch.cat([state[name] for state in states]) for name in states[0]}


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """Return (m,) the largest other logit minus the true class's: positive where misclassified.

    Unlike the mask of torchattacks' CW it does not multiply, so it is right for negative logits.

    >>> margin(torch.tensor([[-101.0, -100.0], [5.0, 2.0]]), torch.tensor([0, 0])).tolist()
    [1.0, -3.0]
    """
    true = functional.one_hot(y, logits.shape[1]).bool()
    return logits.masked_fill(true, -torch.inf).amax(1) - logits.gather(1, y[:, None])[:, 0]


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Return (m,) the cross-entropy of every sample, in nats."""
    return functional.cross_entropy(logits, y, reduction="none")
