"""Carlini and Wagner's L2 attack (arXiv 1608.04644, section VI), with what torchattacks 3.5.1 gets wrong put right.

torchattacks' CW has no budget, does not move saturated pixels, multiplies by a mask that is wrong for
negative logits, stops on the cost of the whole batch and writes into the parameters' gradients. Here every
sample has its own Adam state and its own smallest success; values of c are swept from the cheapest up; the
margin is masked, not multiplied.

Saturated pixels. The change of variable x = (tanh(w) + 1) / 2 has no gradient at x = 0 and x = 1. For
pixels within `EDGE` of the border the box is made wider by `WIDEN` on both sides and the result cut back to
[0,1]; a cut pixel keeps the slope of the wider box, so that it can come back. All other pixels use
torchattacks' formula unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torchattacks
from torch import Tensor, nn

from robustprune.attacks.contract.attack import Objective
from robustprune.attacks.contract.found import Passes
from robustprune.attacks.contract.losses import margin
from robustprune.attacks.contract.state import State
from robustprune.attacks.contract.stepped import REFUSED, Seen, SteppedAttack, Stepper
from robustprune.attacks.contract.threat import Norm, rows
from robustprune.errors import InputError

EDGE = 0.01
"""Pixels this near to the border of [0,1] are saturated."""

WIDEN = 0.25
"""By how much the box of saturated pixels is made wider, on both sides."""

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""torch.optim.Adam's defaults, which torchattacks' CW uses."""


@dataclass(frozen=True, kw_only=True)
class CW(SteppedAttack):
    """Minimise |x' - x|^2 + c max(z_y - max_{i != y} z_i, -kappa) over x'.

    A sample is broken if the smallest success is <= eps. `c` is swept upwards until a sample is broken inside the
    budget (with `exhaustive` always to the end). With `stop_early` a sample is let go at its first success inside the
    budget: the same robust accuracy for less, but the distance is then no longer the smallest one.
    `Outcomes.distance` holds the smallest success, also beyond the budget.

    >>> CW(eps=0.5).name, CW(eps=0.5).threat
    ('CW-50', 'L2 0.5')
    """

    norm: Norm = "L2"
    steps: int = 50
    c: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0)
    lr: float = 0.01
    kappa: float = 0.0
    stop_early: bool = False
    exhaustive: bool = False

    norms = ("L2",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1 or not self.c or min(self.c) <= 0 or sorted(self.c) != list(self.c):
            raise InputError(f"CW(steps={self.steps}, c={self.c}): expected steps >= 1 and rising positive values of c")

    @property
    def title(self) -> str:
        """The name with its steps."""
        return f"CW-{self.steps}"

    @property
    def objective(self) -> Objective:
        """A difference of logits."""
        return "margin"

    @property
    def budget(self) -> dict[str, int]:
        """Steps for each value of c, and how many values there are."""
        return {"steps": self.steps, "values of c": len(self.c), **self.averaged}

    @property
    def allowed(self) -> Passes:
        """For each value of c all steps and the point after the last, twice where the smallest success is refused."""
        return self.passes_of(REFUSED * len(self.c), self.steps + 1)

    @property
    def effort(self) -> float:
        """Passes for the steps of all values of c."""
        return float(self.steps * len(self.c) * self.eot)

    @property
    def minimises(self) -> bool:
        """Yes: the smallest success is looked for."""
        return True

    def stepper(self, model: nn.Module) -> Stepper:
        """Return torchattacks' CW, cut open."""
        steps = CWSteps(model, c=self.c[0], kappa=self.kappa, steps=self.steps, lr=self.lr)
        steps.runs, steps.sweep, steps.eot = len(self.c), torch.tensor(self.c), self.eot
        return steps


class CWSteps(torchattacks.CW):
    """torchattacks' CW, cut open; Adam with one step count a sample."""

    steady: int = 0
    memory: bool = True
    runs: int = 1
    retries: int = 0
    gradient: bool = True
    roams: bool = True
    eot: int = 1
    sweep: Tensor = torch.ones(1)

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Begin at x, with Adam's averages at zero."""
        x = state["x"]
        edge = (x < EDGE) | (x > 1 - EDGE)
        state["width"] = 1 + 2 * WIDEN * edge.to(x.dtype)
        state["w"] = torch.atanh((2 * x - 1) / state["width"])
        state["m"], state["v"] = torch.zeros_like(x), torch.zeros_like(x)
        state["adv"] = self.image(state)

    def image(self, state: State) -> Tensor:
        """Return the image in [0,1] that belongs to w."""
        return (0.5 * (state["width"] * torch.tanh(state["w"]) + 1)).clamp(0, 1)

    def objective(self, logits: Tensor, state: State) -> Tensor:
        """Return the part of the cost that needs the network: c max(z_y - max other, -kappa), (m,)."""
        weight = self.sweep.to(logits.device)[state["run"]]
        return weight * (-margin(logits, state["y"])).clamp(min=-self.kappa)

    def advance(self, state: State, seen: Seen) -> None:
        """Add the gradient of the squared distance, go through the change of variable, step as Adam does."""
        slope = 0.5 * state["width"] * (1 - torch.tanh(state["w"]).square())
        grad = (seen.grad + 2 * (state["adv"] - state["x"])) * slope
        state["m"] = BETA1 * state["m"] + (1 - BETA1) * grad
        state["v"] = BETA2 * state["v"] + (1 - BETA2) * grad.square()
        step = rows(state["step"].to(grad.dtype), grad)
        mean, spread = state["m"] / (1 - BETA1**step), state["v"] / (1 - BETA2**step)
        state["w"] = state["w"] - self.lr * mean / (spread.sqrt() + EPSILON)
        state["adv"] = self.image(state)
