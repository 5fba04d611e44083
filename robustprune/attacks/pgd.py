"""Projected gradient descent (Madry et al. 2018, arXiv 1706.06083), step by step, under Linf and L2.

The steps are those of torchattacks' PGD and PGDL2; what differs is around them: the start is a function of
the seed, the sample and the restart, every iterate is looked at, and a sample leaves when it is broken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torchattacks
from torch import Tensor, nn

from robustprune.attacks.distance import generators, norms, project, rows
from robustprune.attacks.losses import cross_entropy, margin
from robustprune.attacks.state import State
from robustprune.attacks.stepped import SteppedAttack, Stepper
from robustprune.errors import InputError

Loss = Literal["ce", "margin"]


@dataclass(frozen=True, kw_only=True)
class PGD(SteppedAttack):
    """PGD with `steps` steps and `restarts` starts; a sample is broken at its first adversarial iterate.

    `alpha` is the length of every step. None means, under L2, 2.5 eps / steps (the ball can be crossed and
    searched), and under Linf steps that shrink from eps to eps / 50 along half a cosine: long ones carry weak
    samples over quickly, short ones find more in the end (PGD-50 at 8/255 on 1000 images of the adversarially
    trained resnet4b left 144 and 145 robust without retries, torchattacks' steps of eps / 4 from 150 to 153).
    `loss` "ce" is the cross-entropy, "margin" the largest other logit minus the true one, which does not saturate
    on very confident networks.
    `random_start`: begin at a random point of the ball, uniform under Linf, as torchattacks draws it under L2.
    `retries`: how often a sample that resisted but came near (first_success.py) is started again; where luck decides,
    one start says little.

    >>> PGD(eps=8/255, steps=20).name, PGD(eps=0.5, norm="L2", steps=50, restarts=5, loss="margin").name
    ('PGD-20', 'PGD-50 margin x5')
    """

    steps: int = 20
    alpha: float | None = None
    restarts: int = 1
    loss: Loss = "ce"
    random_start: bool = True
    retries: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1 or self.restarts < 1 or self.retries < 0:
            given = f"steps={self.steps}, restarts={self.restarts}, retries={self.retries}"
            raise InputError(f"PGD({given}): expected at least 1, 1 and 0")
        if self.restarts > 1 and not self.random_start:
            raise InputError("PGD(restarts>1, random_start=False): every restart would be the same; use restarts=1")
        if self.loss not in ("ce", "margin"):
            raise InputError(f"PGD(loss={self.loss!r}): expected 'ce' or 'margin'")

    @property
    def title(self) -> str:
        """Steps, the loss where it is not the usual one, restarts where there are several."""
        loss = "" if self.loss == "ce" else f" {self.loss}"
        return f"PGD-{self.steps}{loss}" + (f" x{self.restarts}" if self.restarts > 1 else "")

    @property
    def effort(self) -> float:
        """Steps of all restarts."""
        return float(self.steps * self.restarts)

    @property
    def lengths(self) -> list[float]:
        """The length of every step, `alpha` or what stands in for it."""
        if self.alpha is not None:
            return [self.alpha] * self.steps
        if self.norm == "L2":
            return [2.5 * self.eps / self.steps] * self.steps
        cosine = [(1 + math.cos(math.pi * number / self.steps)) / 2 for number in range(self.steps)]
        return [self.eps * max(share, 0.02) for share in cosine]

    def stepper(self, model: nn.Module) -> Stepper:
        """Return torchattacks' PGD or PGDL2, cut open."""
        kind = LinfSteps if self.norm == "Linf" else L2Steps
        lengths = self.lengths
        steps = kind(model, eps=self.eps, alpha=lengths[0], steps=self.steps, random_start=self.random_start)
        steps.runs, steps.loss = self.restarts, self.loss
        steps.retries = self.retries if self.random_start else 0
        steps.lengths, steps.steady = torch.tensor(lengths), lengths.index(lengths[-1])
        return steps


class LinfSteps(torchattacks.PGD):
    """torchattacks' PGD under Linf, cut open into single steps."""

    runs: int = 1
    retries: int = 0
    steady: int = 0
    lengths: Tensor = torch.ones(1)
    loss: Loss = "ce"

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Begin at x, or at a uniformly random point of the cube around it."""
        x = state["x"]
        state["adv"] = x
        if self.random_start:
            draws = [g.random(x[0].numel(), dtype=np.float32) for g in generators(seed, keys, state["run"])]
            noise = torch.from_numpy(np.stack(draws)).to(x.device).view_as(x)
            state["adv"] = (x + (2 * noise - 1) * self.eps).clamp(0, 1)

    def objective(self, logits: Tensor, state: State) -> Tensor:
        """Return the loss of every sample; it is maximised."""
        return (cross_entropy if self.loss == "ce" else margin)(logits, state["y"])

    def advance(self, state: State, grad: Tensor) -> None:
        """Step along the sign of the gradient, then back into the cube."""
        adv = grad.sign().mul_(length_now(self.lengths, state)).add_(state["adv"])
        state["adv"] = project(adv, state["x"], "Linf", self.eps)


class L2Steps(torchattacks.PGDL2):
    """torchattacks' PGD under L2, cut open into single steps."""

    runs: int = 1
    retries: int = 0
    steady: int = 0
    lengths: Tensor = torch.ones(1)
    loss: Loss = "ce"
    objective = LinfSteps.objective

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Begin at x, or in a random direction at a uniformly random distance up to eps."""
        x = state["x"]
        state["adv"] = x
        if self.random_start:
            draws = [one_direction(g, x[0].numel()) for g in generators(seed, keys, state["run"])]
            noise = torch.from_numpy(np.stack(draws)).to(x.device).view_as(x)
            state["adv"] = (x + noise * self.eps).clamp(0, 1)

    def advance(self, state: State, grad: Tensor) -> None:
        """Step along the normalised gradient, then back into the ball."""
        length = norms(grad, "L2") + self.eps_for_division
        adv = state["adv"] + length_now(self.lengths, state) * (grad / rows(length, grad))
        state["adv"] = project(adv, state["x"], "L2", self.eps)


def length_now(lengths: Tensor, state: State) -> Tensor:
    """Return the length of every sample's present step, shaped to multiply its gradient."""
    return rows(lengths.to(state["adv"].device)[state["step"] - 1], state["adv"])


def one_direction(generator: np.random.Generator, dimensions: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Return a vector in a random direction whose L2 norm is uniform in [0,1]."""
    draw = generator.standard_normal(dimensions, dtype=np.float32)
    return draw * np.float32(generator.random() / max(float(np.linalg.norm(draw)), 1e-12))
