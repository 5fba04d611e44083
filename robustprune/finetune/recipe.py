"""What a recipe says. Its fields are what the results record, so they are plain numbers and names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from robustprune.errors import InputError
from robustprune.finetune.augment import AUGMENTS

SCHEDULES = ("onecycle", "cosine", "constant")
WARM_UP, START, END = 0.3, 1 / 25, 1 / 250_000
"""One cycle (Smith and Topin 2017, arXiv 1708.07120): share of the steps that climb, first and last rate / highest."""


@dataclass(frozen=True, kw_only=True)
class Adversarial:
    """PGD training within `eps` (Linf, pixels in [0, 1]): `steps` of size `alpha`; None means 2.5 eps / steps."""

    eps: float
    steps: int = 7
    alpha: float | None = None

    def __post_init__(self) -> None:
        _check("adversarial training", "eps", self.eps, 0 < self.eps <= 1, "above 0, at most 1")
        _check("adversarial training", "steps", self.steps, self.steps >= 1, "1, 2, ...")
        positive = self.alpha is None or self.alpha > 0
        _check("adversarial training", "alpha", self.alpha, positive, "None or above 0")

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

    name: str
    epochs: int
    lr: float
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch_size: int = 128
    schedule: str = "onecycle"
    augment: str = "none"
    distill: float = 0.0
    temperature: float = 2.0
    label_smoothing: float = 0.0
    adversarial: Adversarial | None = None
    recalibrate: bool = False
    samples: int | None = None

    def __post_init__(self) -> None:
        for field, holds, expected in (
            ("epochs", isinstance(self.epochs, int) and self.epochs >= 0, "0, 1, 2, ..."),
            ("lr", 0 < self.lr < math.inf, "above 0"),
            ("momentum", 0 <= self.momentum < 1, "0 or more, below 1"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "0 or more"),
            ("batch_size", isinstance(self.batch_size, int) and self.batch_size >= 1, "1, 2, ..."),
            ("schedule", self.schedule in SCHEDULES, f"one of {', '.join(SCHEDULES)}"),
            ("augment", self.augment in AUGMENTS, f"one of {', '.join(AUGMENTS)}"),
            ("distill", 0 <= self.distill <= 1, "a weight from 0 to 1"),
            ("temperature", 0 < self.temperature < math.inf, "above 0"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "0 or more, below 1"),
            ("samples", self.samples is None or self.samples >= 1, "None (all) or 1, 2, ..."),
        ):
            _check(f"recipe {self.name!r}", field, getattr(self, field), holds, expected)


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


def _check(what: str, field: str, value: object, holds: bool, expected: str) -> None:
    if not holds:
        raise InputError(f"{what}: {field}={value!r}, expected {expected}")


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
