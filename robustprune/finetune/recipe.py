"""What a recipe says. Its fields are what the results record, so they are plain numbers and names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from robustprune.finetune.augment import AUGMENTS
from robustprune.typed import Count, Label, NotNegative, Positive, Rule, Share, Whole, check

Schedule = Literal["onecycle", "cosine", "constant"]
BelowOne = Annotated[float, Rule(lambda value: 0 <= value < 1, "0 or more, below 1")]
Known = Annotated[str, Rule(AUGMENTS.__contains__, f"one of {', '.join(AUGMENTS)}")]
WARM_UP, START, END = 0.3, 1 / 25, 1 / 250_000
"""One cycle (Smith and Topin 2017, arXiv 1708.07120): share of the steps that climb, first and last rate / highest."""


@dataclass(frozen=True, kw_only=True)
class Adversarial:
    """PGD training within `eps` (Linf, pixels in [0, 1]): `steps` of size `alpha`; None means 2.5 eps / steps."""

    eps: Annotated[float, Rule(lambda value: 0 < value <= 1, "above 0, at most 1")]
    steps: Count = 7
    alpha: Positive | None = None

    def __post_init__(self) -> None:
        check(self)

    @property
    def step(self) -> float:
        """The step size in use.

        >>> Adversarial(eps=0.1, steps=5).step
        0.05
        """
        return self.alpha if self.alpha is not None else 2.5 * self.eps / self.steps


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained. Raises InputError for a value that cannot work.

    The loss is `distill` x KL(teacher, student) at `temperature` + (1 - `distill`) x cross-entropy with
    `label_smoothing`. `lr` is the highest learning rate of the `schedule`. `samples` class-balanced training
    images are used (None: all). `recalibrate` first estimates the statistics of BatchNorm anew; with 0 epochs
    that is all that happens.

    >>> Recipe(name="short", epochs=2, lr=0.05).schedule
    'onecycle'
    """

    name: Label
    epochs: Whole
    lr: Positive
    momentum: BelowOne = 0.9
    weight_decay: NotNegative = 5e-4
    batch_size: Count = 128
    schedule: Schedule = "onecycle"
    augment: Known = "none"
    distill: Share = 0.0
    temperature: Positive = 2.0
    label_smoothing: BelowOne = 0.0
    adversarial: Adversarial | None = None
    recalibrate: bool = False
    samples: Count | None = None

    def __post_init__(self) -> None:
        check(self)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate of `step` (from 0) of `steps`.

    "onecycle" climbs from lr / 25 to lr over the first 30 %, then falls to lr / 250000, both along a cosine;
    "cosine" falls from lr to 0 over all steps (reached just after the last); "constant" stays.

    >>> [round(learning_rate(Recipe(name="c", epochs=1, lr=1.0, schedule="cosine"), s, 2), 2) for s in (0, 1)]
    [1.0, 0.5]
    """
    if recipe.schedule == "constant":
        return recipe.lr
    if recipe.schedule == "cosine":
        return recipe.lr * _glide(1.0, 0.0, step / steps)
    peak = max(WARM_UP * steps - 1, 0.0)
    if step < peak:
        return recipe.lr * _glide(START, 1.0, step / peak)
    return recipe.lr * _glide(1.0, END, (step - peak) / max(steps - 1 - peak, 1.0))


def _glide(start: float, end: float, share: float) -> float:
    """Half a cosine wave from `start` (share 0) to `end` (share 1)."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def recalibrate_only() -> Recipe:
    """No training: BatchNorm's statistics are estimated anew (seconds)."""
    return Recipe(name="recalibrate", epochs=0, lr=0.1, recalibrate=True)


def plain() -> Recipe:
    """30 epochs on the labels, one cycle to 0.05, shifted and mirrored images."""
    return Recipe(name="plain", epochs=30, lr=0.05, augment="crop-flip")


def distil() -> Recipe:
    """30 epochs on the parent's outputs at temperature 2, one cycle to 0.05, shifted and mirrored images."""
    return Recipe(name="distill", epochs=30, lr=0.05, augment="crop-flip", distill=1.0)


def distil_short() -> Recipe:
    """The recipe distill in 5 epochs, for a first look."""
    return Recipe(name="distill-short", epochs=5, lr=0.05, augment="crop-flip", distill=1.0)


def adversarial() -> Recipe:
    """30 epochs of PGD training at 8/255 with 7 steps, one cycle to 0.05, shifted and mirrored images."""
    return Recipe(name="adversarial", epochs=30, lr=0.05, augment="crop-flip", adversarial=Adversarial(eps=8 / 255))


RECIPES: Mapping[str, Callable[[], Recipe]] = {
    "recalibrate": recalibrate_only,
    "plain": plain,
    "distill": distil,
    "distill-short": distil_short,
    "adversarial": adversarial,
}
"""Name -> factory. For images that must not be mirrored, such as digits, replace `augment` by "shift"."""
