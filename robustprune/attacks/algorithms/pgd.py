"""Projected gradient descent (Madry et al. 2018, arXiv 1706.06083), step by step, under any threat.

The iterates are those of torchattacks' PGD and PGDL2 (a test holds that), and under L1 those of sparse steps (Tramer &
Boneh 2019, arXiv 1904.13000). What differs is around them: the start is a function of the seed, the sample and the
restart, every iterate is looked at, and a sample leaves when it is broken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from robustprune.attacks.contract.attack import Objective
from robustprune.attacks.contract.found import Passes
from robustprune.attacks.contract.losses import cross_entropy, margin, probability
from robustprune.attacks.contract.randomness import generators
from robustprune.attacks.contract.state import State
from robustprune.attacks.contract.stepped import Seen, SteppedAttack, Stepper
from robustprune.attacks.contract.threat import Threat, rows
from robustprune.errors import InputError

Loss = Literal["ce", "margin", "probability"]

LOSSES: dict[Loss, Callable[[Tensor, Tensor], Tensor]] = {
    "ce": cross_entropy,
    "margin": margin,
    "probability": probability,
}
"""Name -> the loss (m,) of logits (m, classes) and true classes (m,)."""


@dataclass(frozen=True, kw_only=True)
class PGD(SteppedAttack):
    """PGD with `steps` steps and `restarts` starts; a sample is broken at its first adversarial iterate.

    `alpha` is the length of every step; None means those of `SCHEDULES`.
    `loss` "ce" is the cross-entropy, "margin" the largest other logit minus the true one, which does not saturate
    on very confident networks, "probability" the same of probabilities, which the other classes have a share in.
    `random_start`: begin at a random point of the ball, uniform under Linf and L1, as torchattacks draws it under L2.
    `retries`: how often a sample that resisted but came near (first_success.py) is started again; where luck decides,
    one start says little.

    >>> PGD(eps=8/255, steps=20).name, PGD(eps=0.5, norm="L2", steps=50, restarts=5, loss="margin").name
    ('PGD-20', 'PGD-50 margin x5')
    >>> PGD(eps=8/255, eot=20).name, PGD(eps=8/255, eot=20).budget, PGD(eps=8/255, eot=20).effort
    ('PGD-20 eot20', {'steps': 20, 'restarts': 1, 'eot': 20}, 400.0)
    """

    steps: int = 20
    alpha: float | None = None
    restarts: int = 1
    loss: Loss = "ce"
    random_start: bool = True
    retries: int = 3

    kind: ClassVar[str] = "PGD"
    """What its name begins with."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1 or self.restarts < 1 or self.retries < 0:
            given = f"steps={self.steps}, restarts={self.restarts}, retries={self.retries}"
            raise InputError(f"PGD({given}): expected at least 1, 1 and 0")
        if self.restarts > 1 and not self.random_start:
            raise InputError("PGD(restarts>1, random_start=False): every restart would be the same; use restarts=1")
        if self.loss not in LOSSES:
            raise InputError(f"PGD(loss={self.loss!r}): expected {' or '.join(map(repr, LOSSES))}")

    @property
    def title(self) -> str:
        """Steps, the loss where it is not the usual one, restarts where there are several."""
        loss = "" if self.loss == "ce" else f" {self.loss}"
        return f"{self.kind}-{self.steps}{loss}" + (f" x{self.restarts}" if self.restarts > 1 else "")

    @property
    def objective(self) -> Objective:
        """By `loss`."""
        return "cross-entropy" if self.loss == "ce" else "margin"

    @property
    def budget(self) -> dict[str, int]:
        """Steps of a run, and runs."""
        return {"steps": self.steps, "restarts": self.restarts, **self.averaged}

    @property
    def allowed(self) -> Passes:
        """All starts, those included that a near miss is given; the point after the last step is asked about once."""
        return self.passes_of(self.restarts + (self.retries if self.random_start else 0), self.steps)

    @property
    def effort(self) -> float:
        """Passes for the steps of all restarts."""
        return float(self.steps * self.restarts * self.eot)

    @property
    def lengths(self) -> list[float]:
        """The length of every step, `alpha` or what stands in for it."""
        if self.alpha is not None:
            return [self.alpha] * self.steps
        return SCHEDULES.get(self.norm, even)(self.eps, self.steps)

    def stepper(self, model: nn.Module) -> Stepper:
        """Return its steps."""
        return PGDSteps(
            ball=self.ball,
            lengths=torch.tensor(self.lengths),
            steady=self.lengths.index(self.lengths[-1]),
            loss=self.loss,
            random_start=self.random_start,
            runs=self.restarts,
            retries=self.retries if self.random_start else 0,
            eot=self.eot,
        )


@dataclass(kw_only=True)
class BallSteps:
    """Gradient steps of the given `lengths` (steps,), each projected back into the ball."""

    memory = False
    gradient = True
    roams = False
    ball: Threat
    lengths: Tensor
    steady: int = 0
    random_start: bool = False
    runs: int = 1
    retries: int = 0
    eot: int = 1

    @property
    def steps(self) -> int:
        """As many as there are lengths."""
        return len(self.lengths)

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Begin at x, or at a random point of the ball around it."""
        x = state["x"]
        state["adv"] = self.ball.start(x, generators(seed, keys, state["run"])) if self.random_start else x

    def advance(self, state: State, seen: Seen) -> None:
        """Step along the steepest ascent in the norm of the threat, then back into the ball."""
        adv = state["adv"]
        length = rows(self.lengths.to(adv.device)[state["step"] - 1], adv)
        state["adv"] = self.ball.project(self.ball.steepest(seen.grad, adv).mul_(length).add_(adv), state["x"])


@dataclass(kw_only=True)
class PGDSteps(BallSteps):
    """Steps that climb one loss."""

    loss: Loss = "ce"

    def objective(self, logits: Tensor, state: State) -> Tensor:
        """Return the loss of every sample; it is maximised."""
        return LOSSES[self.loss](logits, state["y"])


def even(eps: float, steps: int) -> list[float]:
    """Return steps of 2.5 eps / steps, with which the ball can be crossed and searched (Madry et al.)."""
    return [2.5 * eps / steps] * steps


def cosine(eps: float, steps: int) -> list[float]:
    """Return steps that shrink from eps to eps / 50 along half a cosine.

    Long ones carry weak samples over quickly, short ones find more in the end (PGD-50 at 8/255 on 1000 images of the
    adversarially trained resnet4b left 144 and 145 robust without retries, torchattacks' steps of eps / 4 from 150 to
    153).
    """
    shares = [(1 + math.cos(math.pi * number / steps)) / 2 for number in range(steps)]
    return [eps * max(share, 0.02) for share in shares]


def quarters(eps: float, steps: int) -> list[float]:
    """Return steps of eps / 4: under L1 a short one only pulls a pixel back to the wall of [0,1] that it just left."""
    return [eps / 4] * steps


SCHEDULES: dict[str, Callable[[float, int], list[float]]] = {"Linf": cosine, "L1": quarters}
"""Norm -> the lengths of PGD's steps at an eps; `even` where a norm is not listed."""
