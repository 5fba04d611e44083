"""PGD towards several wrong classes, those first whose boundary is nearest by the gradients (MALT, arXiv 2407.02240).

An untargeted loss follows whichever wrong class is ahead at the moment, and may run up a slope that ends below the
boundary. The likeliest class is often not the easiest to reach either: what counts is how fast its logit can gain on
the true one's. So the classes are ordered once a sample, by the distance at which two linear logits would meet.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustprune.attacks.algorithms.pgd import BallSteps, cosine
from robustprune.attacks.algorithms.targets import Aims, likeliest
from robustprune.attacks.contract.attack import FORWARD, Objective, at_least_one
from robustprune.attacks.contract.found import Passes
from robustprune.attacks.contract.gradients import input_gradient
from robustprune.attacks.contract.losses import towards
from robustprune.attacks.contract.state import State
from robustprune.attacks.contract.stepped import SteppedAttack, Stepper
from robustprune.attacks.contract.threat import Threat
from robustprune.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TargetedPGD(SteppedAttack):
    """PGD with `steps` steps towards each of the `targets` nearest wrong classes, each from a random start.

    The lengths of the steps fall from 2 eps along half a cosine. `candidates`: of how many wrong classes, the likeliest
    first, the distances are estimated; each takes one backward pass. A network with fewer wrong classes than `targets`
    is attacked as often, the nearest class again from another start.

    >>> attack = TargetedPGD(eps=8/255)
    >>> attack.name, attack.budget, round(attack.effort, 2)
    ('PGD-50 targets x3', {'steps': 50, 'targets': 3, 'candidates': 9}, 156.33)
    """

    steps: int = 50
    targets: int = 3
    candidates: int = 9
    warm: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "steps", "targets", "candidates")
        if self.targets > self.candidates:
            given = f"targets={self.targets}, candidates={self.candidates}"
            raise InputError(f"TargetedPGD({given}): expected at least as many candidates as targets")

    @property
    def title(self) -> str:
        """Steps, and how many classes are aimed at."""
        return f"PGD-{self.steps} targets x{self.targets}"

    @property
    def objective(self) -> Objective:
        """The difference of two logits."""
        return "margin"

    @property
    def budget(self) -> dict[str, int]:
        """Steps of a run, runs, and the gradients taken before."""
        return {"steps": self.steps, "targets": self.targets, "candidates": self.candidates, **self.averaged}

    @property
    def allowed(self) -> Passes:
        """A run for each target; before, the gradients of all candidates from one pass forward."""
        return self.passes_of(self.targets, self.steps) + Passes(self.eot, self.candidates * self.eot)

    @property
    def effort(self) -> float:
        """Passes of all runs; before, forwards and a backward one a candidate, if there are as many classes."""
        return self.eot * (self.steps * self.targets + FORWARD + (1 - FORWARD) * self.candidates)

    def stepper(self, model: nn.Module) -> Stepper:
        """Return its steps."""
        lengths = cosine(2 * self.eps, self.steps)
        return TargetedSteps(
            ball=self.ball,
            lengths=torch.tensor(lengths),
            steady=lengths.index(lengths[-1]),
            random_start=True,
            runs=self.targets,
            eot=self.eot,
            aims=Aims(
                lambda x, y: nearest_classes(model, x, y, self.ball, self.candidates, self.eot)[:, : self.targets]
            ),
            warm=self.warm,
        )


@dataclass(kw_only=True)
class TargetedSteps(BallSteps):
    """Steps towards one class a run; the classes are ordered where a sample begins its first run."""

    aims: Aims
    warm: bool = False

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Begin at a random point, with the class that run `state['run']` aims at."""
        super().start(state, keys, seed)
        if self.warm and "warm" in state:
            first = (state["run"] == 0).nonzero().flatten()
            state["adv"] = state["adv"].index_copy(0, first, state["warm"][first])
        state["target"] = self.aims.target(state, keys, state["run"])

    def objective(self, logits: Tensor, state: State) -> Tensor:
        """Return how far the aimed-at class is ahead of the true one; it is maximised."""
        return towards(logits, state["y"], state["target"])


def nearest_classes(model: nn.Module, x: Tensor, y: Tensor, ball: Threat, candidates: int, eot: int = 1) -> Tensor:
    """Return (m, k) the likeliest `candidates` wrong classes of `x` (m, ...), or all, the nearest boundary first.

    Where the logits are linear the distances are exact, box aside. A class that nothing draws nearer comes last. With
    `eot` the mean distance over so many passes counts; the first says which classes are likely.
    """
    x = x.detach().requires_grad_()
    likely: list[Tensor] = []
    total = torch.zeros(len(x), 1, device=x.device)
    for _ in range(eot):
        logits = model(x)
        likely = likely or list(likeliest(logits.detach(), y, candidates).unbind(1))
        total = total + torch.stack([_distance(towards(logits, y, target), x, ball) for target in likely], 1)
    order = total.nan_to_num(torch.inf).argsort(dim=1, stable=True)
    return torch.stack(likely, 1).gather(1, order)


def _distance(lead: Tensor, x: Tensor, ball: Threat) -> Tensor:
    """Return (m,) how far from `x` (m, ...) a lead (m,) would reach 0 if it were linear."""
    slope = ball.dual(input_gradient(lead.sum(), x, retain=True).nan_to_num(0.0))
    return -lead.detach() / slope.clamp(min=torch.finfo(slope.dtype).tiny)
