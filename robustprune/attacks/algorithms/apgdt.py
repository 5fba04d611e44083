"""Auto-PGD (Croce & Hein 2020, arXiv 2003.01690) towards several wrong classes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from robustprune.attacks.algorithms.apgd_balls import BALLS
from robustprune.attacks.algorithms.apgd_steps import AdaptiveSteps
from robustprune.attacks.algorithms.dlr import targeted_dlr_loss
from robustprune.attacks.algorithms.targets import Aims, TargetedAttack
from robustprune.attacks.contract.attack import Objective, at_least_one
from robustprune.attacks.contract.found import Passes
from robustprune.attacks.contract.state import State
from robustprune.attacks.contract.stepped import Stepper
from robustprune.errors import InputError


@dataclass(frozen=True, kw_only=True)
class APGDT(TargetedAttack):
    """Auto-PGD on the targeted DLR loss, towards the likeliest wrong classes of each image.

    `targets` None: nine, or all wrong classes where there are fewer. Needs four classes.

    >>> APGDT(eps=8/255).name, APGDT(eps=8/255).effort, APGDT(eps=8/255, n_classes=5).targeted_classes
    ('APGD-T', 909.0, 4)
    """

    restarts: int = 1
    rho: float = 0.75

    norms = tuple(BALLS)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "restarts")
        if self.n_classes < 4:
            raise InputError(
                f"APGDT(n_classes={self.n_classes}): the targeted DLR loss needs 4 classes; "
                "APGD(loss='dlr') needs 3, APGD(loss='ce') 2"
            )

    @property
    def title(self) -> str:
        """As the field calls it."""
        return "APGD-T" + (f" x{self.restarts}" if self.restarts > 1 else "")

    @property
    def objective(self) -> Objective:
        """The targeted DLR loss."""
        return "margin"

    @property
    def budget(self) -> dict[str, int]:
        """Steps of a run, runs towards a class, target classes, and gradients a step."""
        runs = {"restarts": self.restarts, "targets": self.targeted_classes}
        return {"steps": self.steps, **runs, **self.averaged}

    @property
    def allowed(self) -> Passes:
        """The points looked at in every run; before, the logits that say which classes are likely."""
        return self.passes_of(self.targeted_classes * self.restarts, self.steps) + Passes(forwards=1)

    @property
    def effort(self) -> float:
        """The points looked at, start and end included, for every run."""
        return float(self.targeted_classes * self.restarts * self.eot * (self.steps + 1))

    def stepper(self, model: nn.Module) -> Stepper:
        """Return its steps."""
        return TargetedAPGDSteps(
            ball=BALLS[self.norm](eps=self.eps),
            steps=self.steps,
            rho=self.rho,
            runs=self.targeted_classes * self.restarts,
            eot=self.eot,
            aims=self.aims(model),
            restarts=self.restarts,
        )


@dataclass(kw_only=True)
class TargetedAPGDSteps(AdaptiveSteps):
    """Steps towards one class a run; a class gets `restarts` runs before the next one's turn."""

    aims: Aims
    restarts: int

    def start(self, state: State, keys: Tensor, seed: int) -> None:
        """Begin as ever, with the class that run `state['run']` aims at."""
        super().start(state, keys, seed)
        state["target"] = self.aims.target(state, keys, state["run"] // self.restarts)

    def objective(self, logits: Tensor, state: State) -> Tensor:
        """Return the targeted DLR loss of every sample; it is maximised."""
        return targeted_dlr_loss(logits, state["y"], state["target"])
