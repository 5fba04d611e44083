"""Targeted FAB (Croce & Hein 2020, arXiv 1907.02044): along the boundary of one class at a time, towards the image.

Each step takes the boundary for the plane that the gradient says, projects the iterate and the image on it within the
box, goes to a point between the two, a little beyond the plane, and, where that point is adversarial, a tenth of the
way back to the image. The iterates are the published ones (a test holds that, against torchattacks). What differs is
around them:

- The published attack keeps the smallest success and asks in the end whether it is within eps. Here a sample leaves at
  its first success within eps, which comes to the same; points on the way back count as well.
- A pass looks at a new point with its gradient at once. Where the point is not adversarial the next step uses it; where
  it is, the sample moves back, and the pass counts as no step. So a run of n steps takes n passes forward and backward,
  one more for each adversarial point outside the budget, and a forward pass on the last point.
- The projections solve the published problem without sorting, which would take longer than the network.

FAB-T with one restart draws nothing at random. It has a quirk that is kept: an image without a gradient has no plane to
project on, and stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustprune.attacks.algorithms.targets import Aims, TargetedAttack
from robustprune.attacks.contract.attack import Objective
from robustprune.attacks.contract.found import Passes
from robustprune.attacks.contract.losses import towards
from robustprune.attacks.contract.state import State
from robustprune.attacks.contract.stepped import Seen, Stepper
from robustprune.attacks.contract.threat import Norm, Threat, rows

ALPHA_MAX, ETA, BETA = 0.1, 1.05, 0.9
"""The largest share of the image's projection, the step beyond the plane, and what is kept on the way back."""

AGAIN = 2 / 3
"""Adversarial points outside the budget a step: on survivors of APGD-T on resnet4b .67 at 8/255, .74 under L2 at .5."""

TINY = 1e-30
"""Instead of zero in a denominator."""

SPEEDS: dict[Norm, Callable[[Tensor], Tensor]] = {"Linf": torch.ones_like, "L2": torch.abs}
"""Norm -> how fast each pixel moves on the shortest way to a plane of normal `w`, until it meets the box."""


@dataclass(frozen=True, kw_only=True)
class FABT(TargetedAttack):
    """FAB towards the likeliest wrong classes, of whose boundaries eps only decides whether they are near enough.

    `targets` None: nine, or all wrong classes where there are fewer. Works from two classes on.

    >>> FABT(eps=8/255).name, FABT(eps=8/255, n_classes=2).targeted_classes
    ('FAB-T', 1)
    """

    norms = tuple(SPEEDS)

    @property
    def title(self) -> str:
        """As the field calls it."""
        return "FAB-T"

    @property
    def objective(self) -> Objective:
        """The distance to a boundary."""
        return "margin"

    @property
    def budget(self) -> dict[str, int]:
        """Steps for each target class, target classes, and gradients a step."""
        return {"steps": self.steps, "targets": self.targeted_classes, **self.averaged}

    @property
    def allowed(self) -> Passes:
        """Two passes a step, where each leads beyond the boundary and back; before, the logits."""
        return self.passes_of(self.targeted_classes, 2 * self.steps) + Passes(forwards=1)

    @property
    def effort(self) -> float:
        """Each step takes a pass, and two in three take another one, back from beyond the boundary."""
        return self.targeted_classes * self.steps * self.eot * (1 + AGAIN)

    def stepper(self, model: nn.Module) -> Stepper:
        """Return its steps."""
        return FABSteps(
            ball=self.ball, steps=self.steps, runs=self.targeted_classes, eot=self.eot, aims=self.aims(model)
        )


@dataclass(kw_only=True)
class FABSteps:
    """Steps along the boundary of the class that a run aims at."""

    memory = True
    gradient = True
    roams = True
    steady = 0
    retries = 0
    ball: Threat
    steps: int
    runs: int
    eot: int
    aims: Aims

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Begin at x. `settled`: the next step starts from this iterate, whether it is adversarial or not."""
        state["adv"] = state["x"]
        state["target"] = self.aims.target(state, keys, state["run"])
        state["settled"] = torch.ones_like(state["step"], dtype=torch.bool)

    def objective(self, logits: Tensor, state: State) -> Tensor:
        """Return how far the aimed-at class is ahead of the true one."""
        return towards(logits, state["y"], state["target"])

    def advance(self, state: State, seen: Seen) -> None:
        """Step along the boundary; from a new point that is adversarial, only go back towards the image."""
        x, adv = state["x"], state["adv"]
        back = seen.wrong & ~state["settled"]
        ahead = (~back).nonzero().flatten()
        parts = (values.index_select(0, ahead) for values in (adv, x, seen.value, seen.grad))
        state["adv"] = (adv - x).mul_(BETA).add_(x).index_copy_(0, ahead, self.along(*parts))
        state["step"], state["settled"] = state["step"] - back.long(), back

    def along(self, adv: Tensor, x: Tensor, value: Tensor, grad: Tensor) -> Tensor:
        """Return the next point (m, ...) from `adv`, where the lead of the target is `value` (m,), gradient `grad`."""
        away = value + (grad * (x - adv)).flatten(1).sum(1)
        near, far = (to_plane(self.ball.norm, *from_) for from_ in ((adv, grad, value), (x, grad, away)))
        near_size, far_size = (self.ball.size(way).clamp(min=1e-8) for way in (near, far))
        alpha = rows((near_size / (near_size + far_size)).clamp(max=ALPHA_MAX), x)
        return ((adv + ETA * near) * (1 - alpha) + (x + ETA * far) * alpha).clamp_(0, 1)


def to_plane(norm: Norm, point: Tensor, w: Tensor, value: Tensor) -> Tensor:
    """Return the shortest way (m, ...) in `norm` from `point` within [0,1] to where a linear function is zero.

    Its gradient is `w` (m, ...) and it is `value` (m,) at `point`. Where it has no zero in the box this is the way to
    the corner nearest to one. All pixels move until they meet the box, and what they gain per unit of time falls
    whenever one does; Newton's method therefore comes to the time from below, in as many rounds as it takes until no
    further pixel meets the box.

    >>> to_plane("Linf", torch.tensor([[0.5, 0.9]]), torch.tensor([[1.0, 1.0]]), torch.tensor([-0.3]))
    tensor([[0.2000, 0.1000]])
    """
    slope, gap = w.abs().flatten(1), value.abs()[:, None]
    heading, place = (w.sign() * rows(-value.sign(), w)).flatten(1), point.flatten(1)
    room = torch.maximum(heading * (1 - place), -heading * place)
    speed = SPEEDS[norm](slope)
    gain, most, met = slope * speed, slope * room, room / speed.clamp(min=TINY)
    time = torch.zeros_like(gap)
    while True:
        free = (met - time).clamp_(min=0).sign_()  # arithmetic, since masks are many times slower on a CPU
        rate = torch.linalg.vecdot(gain, free)[:, None]
        missing = gap - torch.linalg.vecdot(most, free.neg_().add_(1))[:, None]
        longer = torch.maximum(time, (missing / rate.clamp(min=TINY)).clamp(max=1 / TINY))
        if not bool((longer > time).any()):
            return ((time * speed).minimum(room) * heading).view_as(w)
        time = longer
