"""Fast minimum-norm attack (Pintor et al. 2021, arXiv 2102.12827): the distance of every sample in one run.

Every sample has a ball of its own, which shrinks while the iterate inside it is adversarial and grows while it is not,
so that the iterates come to swing around a near boundary. One run gives the distances, and they the whole curve
of robust accuracy over eps.

Steps, sizes and schedules are the published ones: margin of logits, gradients scaled to Euclidean length 1 under every
norm, no random start. What differs:

- Before the first success a ball reaches a share gamma beyond where the gradient sees the boundary. The published one
  ends there, and iterates may creep towards the boundary for good without a success, on linear networks for one.
- Pixels at a wall of [0,1] that the gradient would push out take no part in a step nor in that estimate. Without this
  most images of exact 0 and 1 are not broken at all under L2: what is cut off is missing from the ball.
- Under L1 the nearest point of ball and box together is taken. The published attack projects on the ball and then cuts,
  and so gives budget away at the walls.
- The iterate after the last step is looked at too, and a success counts when the original network confirms it.
- `targets` and `signs` are additions, and the published L0 is not offered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from robustprune.attacks.algorithms.targeted_pgd import nearest_classes
from robustprune.attacks.algorithms.targets import Aims
from robustprune.attacks.contract.attack import FORWARD, SILENT, Objective, at_least_one
from robustprune.attacks.contract.found import Passes
from robustprune.attacks.contract.losses import margin, towards
from robustprune.attacks.contract.state import State
from robustprune.attacks.contract.stepped import REFUSED, Seen, SteppedAttack, Stepper
from robustprune.attacks.contract.threat import L2, Linf, Threat, rows
from robustprune.errors import InputError

LAST_GAMMA = 0.0001
"""The share by which a ball shrinks or grows in the end."""

LAST_ALPHA = 0.01
"""The length of the last step, as a share of the first."""


@dataclass(frozen=True, kw_only=True)
class FMN(SteppedAttack):
    """Minimise |x' - x| in `norm` over x' in [0,1] that the network gets wrong.

    A sample is broken if the smallest success is <= eps; `Outcomes.distance` holds it also beyond eps. `alpha` is the
    Euclidean length of the first step, `gamma` the share by which a sample's ball shrinks or grows at first; both fall
    along half a cosine.

    Untargeted, a sample ends at the boundary of the class that was ahead when it first crossed one, and another may lie
    nearer. `targets`: make a run towards each of that many nearest classes instead, by the gradients at x among the
    likeliest `candidates`. Any class counts as a success. Where the curve is wanted take three: it then agrees with
    attacks at single eps, from which the untargeted one's lies up to 3 points away (engine/curves.py).

    `signs`: under Linf step along the signs of the gradient, each pixel by `alpha` at first (0.1 does well). Where the
    gradient is large on a few pixels alone the published steps never bring the others to the border of the ball: on
    the TRADES network of MNIST they left 99 of 100 images robust at .35, the everyday tier 18. On 16 of its images
    signs left 3 at .35 and 14 at .3, as many as that tier.

    With `stop_early` a sample is let go at its first success inside the budget: the same robust
    accuracy for less, but the distance is then no longer the smallest one.

    >>> FMN(eps=8/255).name, FMN(eps=0.5, norm="L2", steps=50).threat
    ('FMN-100', 'L2 0.5')
    """

    steps: int = 100
    alpha: float = 1.0
    gamma: float = 0.05
    targets: int = 0
    candidates: int = 9
    stop_early: bool = False
    signs: bool = field(default=False, metadata={SILENT: True})

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "steps", "candidates")
        if self.signs and self.norm != "Linf":
            raise InputError(f"FMN(signs=True, norm={self.norm!r}): expected norm 'Linf', whose steps are signs")
        if not 0 <= self.targets <= self.candidates:
            given = f"targets={self.targets}, candidates={self.candidates}"
            raise InputError(f"FMN({given}): expected targets >= 0 and at least as many candidates")
        if not (0 < self.alpha < math.inf and LAST_GAMMA <= self.gamma < 1):
            given = f"alpha={self.alpha}, gamma={self.gamma}"
            raise InputError(f"FMN({given}): expected a positive alpha and {LAST_GAMMA} <= gamma < 1")

    @property
    def title(self) -> str:
        """Steps, and how many classes are aimed at where there are any."""
        aimed = f" targets x{self.targets}" if self.targets else ""
        return f"FMN-{self.steps}" + " signs" * self.signs + aimed

    @property
    def objective(self) -> Objective:
        """A difference of logits."""
        return "margin"

    @property
    def budget(self) -> dict[str, int]:
        """Steps of a run; with targets also runs, and the gradients taken before the first."""
        aimed = {"targets": self.targets, "candidates": self.candidates}
        return {"steps": self.steps, **(aimed if self.targets else {}), **self.averaged}

    @property
    def allowed(self) -> Passes:
        """All runs, each twice where its smallest success is refused; with targets the gradients before them."""
        found = self.passes_of(REFUSED * max(1, self.targets), self.steps + 1)
        return found + Passes(self.eot, self.candidates * self.eot) if self.targets else found

    @property
    def effort(self) -> float:
        """Passes of all runs; with targets, before the first, forwards and a backward one a candidate."""
        if not self.targets:
            return float(self.steps * self.eot)
        return self.eot * (self.targets * self.steps + FORWARD + (1 - FORWARD) * self.candidates)

    @property
    def exhaustive(self) -> bool:
        """Towards all targets, unless any success inside the budget will do."""
        return not self.stop_early

    @property
    def minimises(self) -> bool:
        """Yes: the smallest success is looked for."""
        return True

    def stepper(self, model: nn.Module) -> Stepper:
        """Return its steps."""
        alphas = falling(self.alpha, self.alpha * LAST_ALPHA, self.steps)
        gammas = falling(self.gamma, LAST_GAMMA, self.steps)
        direction = (Linf if self.signs else L2)(eps=math.inf)
        if not self.targets:
            return FMNSteps(ball=self.ball, alphas=alphas, gammas=gammas, eot=self.eot, direction=direction)
        return TargetedFMNSteps(
            ball=self.ball,
            alphas=alphas,
            gammas=gammas,
            eot=self.eot,
            direction=direction,
            runs=self.targets,
            aims=Aims(lambda x, y: nearest_classes(model, x, y, self.ball, self.candidates, self.eot)),
        )


@dataclass(kw_only=True)
class FMNSteps:
    """Gradient steps of the lengths `alphas`, each projected into the sample's ball as it is by then.

    `alphas` and `gammas` are (steps + 1,): the last entry is for the gradient at the last iterate, which leads nowhere.
    """

    ball: Threat
    alphas: Tensor
    gammas: Tensor
    steady: int = 0
    memory: bool = True
    runs: int = 1
    retries: int = 0
    gradient: bool = True
    roams: bool = True
    eot: int = 1
    direction: Threat = field(default_factory=lambda: L2(eps=math.inf))
    """In whose norm steps have their length, and are the steepest."""

    @property
    def steps(self) -> int:
        """One less than there are lengths."""
        return len(self.alphas) - 1

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Begin at x, in a ball without end; `widest` is the distance to the farthest corner of the box.

        `slack` is the lead demanded of a success, as a share of the largest logit; the engine may set it higher.
        """
        x = state["x"]
        state["adv"] = x
        state["widest"] = self.ball.size(torch.maximum(x, 1 - x))
        state["eps"] = state["least"] = torch.full_like(state["widest"], torch.inf)
        state["loss"] = state["lead"] = state["slack"] = torch.zeros_like(state["widest"])

    def objective(self, logits: Tensor, state: State) -> Tensor:
        """Return the loss, which is maximised; what `advance` needs of the logits is kept in `state`."""
        loss, plain = self.loss(logits, state), logits.detach()
        state["loss"] = loss.detach()
        state["lead"] = margin(plain, state["y"]) - state["slack"] * plain.abs().amax(1)
        return loss

    def loss(self, logits: Tensor, state: State) -> Tensor:
        """Return how far the best wrong class is ahead of the true one."""
        return margin(logits, state["y"])

    def advance(self, state: State, seen: Seen) -> None:
        """Fit the ball to what the iterate showed, then step along the gradient and back into the ball."""
        adv, at = state["adv"], state["step"] - 1
        grad = seen.grad * torch.where(seen.grad > 0, adv < 1, adv > 0)
        self.resize(state, grad, self.gammas.to(at.device)[at])
        length = rows(self.alphas.to(at.device)[at], adv)
        step = self.direction.steepest(grad, adv).mul_(length)
        state["adv"] = self.ball.project(step.add_(adv), state["x"], state["eps"])

    def resize(self, state: State, grad: Tensor, gamma: Tensor) -> None:
        """Shrink the balls of adversarial iterates and let the others grow by a share `gamma` (m,).

        Before a sample's first success its ball reaches as far as the boundary seems to be by the gradient.
        """
        eps, broken = state["eps"], state["lead"] > 0
        distance = self.ball.size(state["adv"] - state["x"])
        least = torch.where(broken, torch.minimum(state["least"], distance), state["least"])
        boundary = distance + state["loss"].abs() / self.ball.dual(grad).clamp(min=1e-12)
        larger = torch.where(least.isfinite(), eps, boundary) * (1 + gamma)
        eps = torch.where(broken, torch.minimum(eps * (1 - gamma), least), larger)
        state["eps"], state["least"] = torch.minimum(eps, state["widest"]), least


@dataclass(kw_only=True)
class TargetedFMNSteps(FMNSteps):
    """Steps towards one class a run, the nearest first; the classes are ordered where a sample begins its first run."""

    aims: Aims

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Begin at x, with the class that run `state['run']` aims at; where there are fewer, the first again."""
        super().start(state, keys, seed)
        state["target"] = self.aims.target(state, keys, state["run"])

    def loss(self, logits: Tensor, state: State) -> Tensor:
        """Return how far the aimed-at class is ahead of the true one."""
        return towards(logits, state["y"], state["target"])


def falling(first: float, last: float, steps: int) -> Tensor:
    """Return (steps + 1,) values from `first` to `last` along half a cosine.

    >>> falling(1.0, 0.0, 2)
    tensor([1.0000, 0.5000, 0.0000])
    """
    shares = [(1 + math.cos(math.pi * number / steps)) / 2 for number in range(steps + 1)]
    return torch.tensor([last + (first - last) * share for share in shares])
