"""Attacks cut open into steps: what an attack has to say for the engine to run it step by step."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from robustprune.attacks.contract.attack import SILENT, Attack, at_least_one
from robustprune.attacks.contract.found import Passes
from robustprune.attacks.contract.state import State

REFUSED = 2
"""How often an attack that minimises makes a run, at most: again where the original refused its smallest success."""


@dataclass(frozen=True)
class Seen:
    """What the network showed at the iterates of a batch, a row a sample; on average over `Stepper.eot` passes."""

    value: Tensor
    """(m,) the objective."""
    grad: Tensor
    """(m, ...) its gradient, 0 where that is not a number; without values for an attack that asks for none."""
    wrong: Tensor
    """(m, bool) whether the network misclassifies the iterate in most passes, by the copy that gives gradients."""


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

    @property
    def gradient(self) -> bool:
        """Whether it needs gradients; an attack by queries does not, and costs no backward pass."""

    @property
    def roams(self) -> bool:
        """Whether its iterates may lie outside the ball; those that do are no successes."""

    @property
    def eot(self) -> int:
        """How many passes are made at every iterate and averaged, for networks with random parts."""

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Put the first iterate (and memory) of run `state['run']` into `state`, which holds x and y.

        It may ask the network; the passes are counted, and where memory runs out fewer samples begin together.
        """

    def objective(self, logits: Tensor, state: State) -> Tensor:
        """Return (m,) what its gradient is wanted of, from logits (m, classes) at the iterates.

        Where `eot` passes are averaged it is asked once more, of the mean logits, so that what it keeps in `state` is
        about these.
        """

    def advance(self, state: State, seen: Seen) -> None:
        """Replace `state['adv']` by the next iterate, given what the network showed at the present one.

        `state['step']` counts the present one already; a sample whose iterate shall not count is set back by one.
        """


@runtime_checkable
class Patient(Stepper, Protocol):
    """Steps that are known beforehand as long as what they ask about is refused, such as those of a random search."""

    def refused(self, value: Tensor, state: State) -> Tensor:
        """Return (m, bool) whether an iterate with this objective is dropped, so that `advance` forgets it."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """So many runs more for a sample in whose runs so far the true class's lead fell to this share of its first."""

    runs: int
    share: float


@dataclass(frozen=True, kw_only=True)
class SteppedAttack(Attack):
    """An attack that the engine runs step by step, each sample on its own account.

    `eot`: how many passes are averaged at every iterate (expectation over transformation, Athalye et al. 1802.00420),
    which a network with random parts needs; 20 is usual. It is part of name, settings and budget where it is not 1.
    """

    eot: int = field(default=1, metadata={SILENT: True})

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "eot")

    @property
    def label(self) -> str:
        """The title, and how many passes are averaged where there are several."""
        return super().label + (f" eot{self.eot}" if self.eot > 1 else "")

    @property
    def averaged(self) -> dict[str, int]:
        """What averaging adds to the budget: the passes at an iterate; nothing where it is one."""
        return {"eot": self.eot} if self.eot > 1 else {}

    def passes_of(self, runs: int, gradients: int, asked: int = 1) -> Passes:
        """Return the passes of `runs` runs, each of `gradients` points with gradient and `asked` without."""
        return Passes(forwards=runs * (gradients * self.eot + asked), backwards=runs * gradients * self.eot)

    @property
    def further(self) -> tuple[Round, ...]:
        """Rounds of runs after the stepper's own, each for the samples that came near enough in those before.

        The lead is in logits, the first that at the first iterate of the first run. A sample that does not go on to a
        round goes to none after it.
        """
        return ()

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
