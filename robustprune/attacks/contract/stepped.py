"""Attacks cut open into steps: what an attack has to say for the engine to run it step by step."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from robustprune.attacks.contract.attack import Attack
from robustprune.attacks.contract.state import State


class Stepper(Protocol):
    """The steps of one attack. Every method works on samples independently of each other.

    All of these have to be there; a default would let an attack claim what is not so.
    """

    @property
    def steps(self) -> int:
        """Gradient steps of one run."""

    @property
    def steady(self) -> int:
        """The step (from 0) since which all steps are made by one rule; an iterate that comes back circles."""

    @property
    def memory(self) -> bool:
        """Whether a step depends on more than the present iterate, such as momentum or Adam's averages.

        A run with a memory goes on where it stands still or comes back to an earlier iterate.
        """

    @property
    def runs(self) -> int:
        """How often a sample that resists is started anew: restarts, or values of c."""

    @property
    def retries(self) -> int:
        """How many runs more a sample gets that resisted but came near in one of them."""

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Put the first iterate (and memory) of run `state['run']` into `state`, which holds x and y.

        It may ask the network; the passes are counted, and where memory runs out fewer samples begin together.
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
        """Return its steps on `model`, which takes images in [0,1] and returns logits."""
