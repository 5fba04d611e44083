"""PGD that is started again and again where it comes near: adaptive auto attack (Liu et al. 2022, arXiv 2203.05154).

A run begins with a few long steps along the gradient of a random weighting of the logits (adaptive direction
initialisation, after output-diversified sampling, Tashiro et al. 2003.06878): they carry its start to places that
differ in what the network says there, where random points of the ball are much alike to it. Most weightings
disfavour the true class, as the paper finds best. Then the run climbs the margin of probabilities (2411.15210) by steps
that shrink along half a cosine (under L1 by PGD's).

Restarts are spent where they may help. The paper ranks all samples by their margin and discards the worst; here a
sample goes on to the next round by what happened to itself alone, when the true class's lead fell low enough, so that
outcomes do not depend on who else is attacked. Two more departures: the true class's weight is always drawn between the
two bounds that the paper chooses by what worked on the data set, and all runs have the same number of steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustprune.attacks.algorithms.pgd import SCHEDULES, BallSteps, cosine
from robustprune.attacks.contract.attack import Objective, at_least_one
from robustprune.attacks.contract.found import Passes
from robustprune.attacks.contract.losses import probability
from robustprune.attacks.contract.randomness import draws, generators, streams, uniform
from robustprune.attacks.contract.state import State
from robustprune.attacks.contract.stepped import Round, SteppedAttack, Stepper

GROWTH = 4
"""How many times more starts a round has than the one before."""

AGAINST, FAVOUR = -0.5, 0.1
"""The bounds of the true class's weight; those of the others are -1 and 1 (the public code's, for wrong starts)."""


@dataclass(frozen=True, kw_only=True)
class AdaptivePGD(SteppedAttack):
    """PGD with rounds of 1, 4, 16, 64 starts, each round for samples that the one before came nearer to breaking.

    A sample gets its second round if in the first the true class's lead (in logits) fell to half of what it was at the
    first start, its third if it fell to a third, its fourth if it fell to a quarter. A run is `directed` steps of eps
    along a random weighting of the logits, then `steps` on the margin of probabilities.

    >>> attack = AdaptivePGD(eps=8/255)
    >>> attack.name, attack.budget, attack.effort
    ('PGD-20 adaptive x85', {'steps': 20, 'directed': 7, 'restarts': 85}, 108.0)
    >>> attack.further[-1]
    Round(runs=64, share=0.25)
    """

    steps: int = 20
    directed: int = 7
    rounds: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "steps", "directed", "rounds")

    @property
    def title(self) -> str:
        """Steps, and how often a near miss is started."""
        return f"PGD-{self.steps} adaptive x{self.starts}"

    @property
    def starts(self) -> int:
        """The starts of all rounds."""
        return 1 + sum(one.runs for one in self.further)

    @property
    def further(self) -> tuple[Round, ...]:
        """The rounds after the first start."""
        return tuple(Round(runs=GROWTH**number, share=1 / (number + 1)) for number in range(1, self.rounds))

    @property
    def objective(self) -> Objective:
        """The margin, of probabilities."""
        return "margin"

    @property
    def budget(self) -> dict[str, int]:
        """Steps of a run, those before it, and the starts of a near miss."""
        return {"steps": self.steps, "directed": self.directed, "restarts": self.starts, **self.averaged}

    @property
    def allowed(self) -> Passes:
        """All starts."""
        return self.passes_of(self.starts, self.directed + self.steps)

    @property
    def effort(self) -> float:
        """Passes if one sample in four goes on to each next round, so that all rounds cost the same."""
        return float((self.directed + self.steps) * self.rounds * self.eot)

    def stepper(self, model: nn.Module) -> Stepper:
        """Return its steps."""
        lengths = [self.eps] * self.directed + SCHEDULES.get(self.norm, cosine)(self.eps, self.steps)
        return AdaptiveSteps(ball=self.ball, lengths=torch.tensor(lengths), directed=self.directed, eot=self.eot)


@dataclass(kw_only=True)
class AdaptiveSteps(BallSteps):
    """The first `directed` steps along a weighting of the logits, the others along the margin of probabilities.

    What is climbed depends on how far the run is, so that an iterate that stands still may yet move.
    """

    directed: int
    memory = True

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Begin at a random point of the ball, with a stream of numbers for the weights."""
        state["adv"] = self.ball.start(state["x"], generators(seed, keys, state["run"]))
        state["stream"] = streams(seed, keys.to(state["run"].device), state["run"])

    def objective(self, logits: Tensor, state: State) -> Tensor:
        """Return the weighted logits in the first steps, then how near to the lead another class is; maximised."""
        early = state["step"] < self.directed
        climbed = probability(logits, state["y"])
        if not bool(early.any()):
            return climbed
        aimed = (directions(state["stream"], state["y"], logits.shape[1]) * logits).sum(1)
        return torch.where(early, aimed, climbed)


def directions(stream: Tensor, y: Tensor, classes: int) -> Tensor:
    """Return (m, classes) random weights of the logits, a function of each run's stream (m,) and true class (m,).

    >>> weights = directions(torch.tensor([3, 4]), torch.tensor([0, 1]), 5)
    >>> bool((weights.abs() <= 1).all()), bool((weights[[0, 1], [0, 1]] <= 0.1).all()), weights[0].equal(weights[1])
    (True, True, False)
    """
    drawn = uniform(draws(stream, 0, (classes + 1) // 2))[:, :classes]
    true = AGAINST + (FAVOUR - AGAINST) * drawn.gather(1, y[:, None])
    return (2 * drawn - 1).scatter(1, y[:, None], true)
