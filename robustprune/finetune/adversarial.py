"""How a network is trained against an attacker: what the attack raises, and which images the loss looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from robustprune.errors import InputError
from robustprune.typed import Count, NotNegative, Positive, Rule, Share, check

Image = Literal["clean", "attacked"]
"""One of the two forms of a training image."""


@dataclass(frozen=True, kw_only=True)
class Adversarial:
    """PGD training within `eps` (Linf, pixels in [0, 1]): `steps` of size `alpha`; None means 2.5 eps / steps.

    The attack starts at random in the ball. `against` says what it moves the outputs away from: the "labels" (it raises
    the cross-entropy), or what the network itself ("outputs") or its "teacher" answers to the clean image (it raises
    the KL divergence from that).

    Where the recipe's loss on an image is fit(image), what is learned from is

        (1 - clean) fit(attacked) + clean fit(clean) + beta KL(outputs on the clean image, outputs on the attacked one).

    `beta` with clean=1 and against="outputs" is TRADES (Zhang et al. 2019, arXiv 1901.08573); unlike there the attack
    starts anywhere in the ball instead of close to the image. Beside labels the recipe's fit is that to a teacher,
    which looks at the clean image whatever the student sees (Goldblum et al. 2019, arXiv 1905.09747), or at the
    "same" one with `teacher_sees`. `gamma` above 0 is adversarial weight perturbation (see awp.py).
    """

    eps: Annotated[float, Rule(lambda value: 0 < value <= 1, "above 0, at most 1")]
    steps: Count = 7
    alpha: Positive | None = None
    against: Literal["labels", "outputs", "teacher"] = "labels"
    clean: Share = 0.0
    beta: NotNegative = 0.0
    teacher_sees: Literal["clean", "same"] = "clean"
    gamma: NotNegative = 0.0

    def __post_init__(self) -> None:
        check(self)
        if self.clean == 1 and not self.beta:
            raise InputError(f"Adversarial: clean={self.clean} with beta=0, expected clean below 1, or beta above 0")

    @classmethod
    def fgsm_rs(cls, eps: float) -> Adversarial:
        """One step of 1.25 eps from a random start, FGSM-RS (Wong et al. 2020, arXiv 2001.03994).

        It is PGD with steps=1 and that alpha. Longer steps or many epochs may end in catastrophic overfitting: robust
        against one step, and against nothing else.

        >>> Adversarial.fgsm_rs(eps=0.2).step
        0.25
        """
        return cls(eps=eps, steps=1, alpha=1.25 * eps)

    @classmethod
    def trades(cls, eps: float, beta: float = 6.0, steps: int = 10) -> Adversarial:
        """TRADES: the loss on clean images, and `beta` x the KL divergence that an attack on the outputs finds."""
        return cls(eps=eps, steps=steps, against="outputs", clean=1.0, beta=beta)

    @classmethod
    def rslad(cls, eps: float, steps: int = 10) -> Adversarial:
        """Away from the teacher's clean outputs and back to them, RSLAD (Zi et al. 2021, arXiv 2108.07969).

        For a recipe with distill=1 and temperature=1: attacked images weigh 5/6, clean ones 1/6.
        """
        return cls(eps=eps, steps=steps, against="teacher", clean=1 / 6)

    @property
    def step(self) -> float:
        """The step size in use.

        >>> Adversarial(eps=0.1, steps=5).step
        0.05
        """
        return self.alpha if self.alpha is not None else 2.5 * self.eps / self.steps

    @property
    def asks_teacher(self) -> bool:
        """Whether it needs a teacher, beyond what the recipe's loss does with one."""
        return self.against == "teacher" or self.teacher_sees == "same"

    @property
    def views(self) -> tuple[Image, ...]:
        """Which images go through the network in a step of training."""
        return ("clean", "attacked") if self.clean or self.beta else ("attacked",)

    @property
    def weights(self) -> dict[Image, float]:
        """What the recipe's loss on each image weighs, where that is anything."""
        shares: dict[Image, float] = {"clean": self.clean, "attacked": 1 - self.clean}
        return {image: weight for image, weight in shares.items() if weight}
