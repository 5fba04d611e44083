"""What a recipe says. Its fields are what the results record, so they are plain numbers and names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from robustprune.errors import InputError
from robustprune.finetune.adversarial import Adversarial, Image
from robustprune.finetune.augment import AUGMENTS
from robustprune.finetune.parts import Part
from robustprune.typed import Count, Label, NotNegative, Positive, Rule, Share, Whole, check

ClassWeights = Literal["balanced"]
Schedule = Literal["onecycle", "cosine", "constant"]
Arithmetic = Literal["float32", "bfloat16"]
BelowOne = Annotated[float, Rule(lambda value: 0 <= value < 1, "0 or more, below 1")]
Known = Annotated[str, Rule(AUGMENTS.__contains__, f"one of {', '.join(AUGMENTS)}")]
WARM_UP, START, END = 0.3, 1 / 25, 1 / 250_000
"""One cycle (Smith and Topin 2017, arXiv 1708.07120): share of the steps that climb, first and last rate / highest."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained. Raises InputError for a value that cannot work.

    The loss is `distill` x KL(teacher, student) at `temperature` + (1 - `distill`) x cross-entropy with
    `label_smoothing`. With `features`, so many times the relative squared gap between what student and teacher give at
    the end of each stage is added (features.py), for a network that is its teacher without some blocks. `lr` is the
    highest learning rate of the `schedule`. `samples` class-balanced training images are used (None: all). With
    `class_weights` "balanced" all classes weigh alike in the cross-entropy, however few images of one there are.
    `recalibrate` first estimates the statistics of BatchNorm anew; with 0 epochs that is all that happens. `train` says
    which part of the network moves (parts.py); the rest stays bit by bit. `anew` draws all weights anew first: what is
    trained from scratch is the shape (anew.py). With `precision` "bfloat16" passes are made in mixed precision
    (weights, statistics and losses are not), which is faster where a device has units for it, and slower elsewhere;
    what is held out is judged in full precision.

    `hold_out` sets a share of these training images aside, class-balanced: after each epoch they say how accurate the
    network is, attacked where the recipe attacks. The weights of the most accurate epoch are kept (of equal ones the
    first), and with `patience` training stops once so many epochs in a row have not been better. What is evaluated
    later has no part in it.

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
    train: Part = "all"
    hold_out: BelowOne = 0.0
    patience: Count | None = None
    class_weights: ClassWeights | None = None
    features: NotNegative = 0.0
    anew: bool = False
    precision: Arithmetic = "float32"

    def __post_init__(self) -> None:
        check(self)
        if self.patience is not None and not self.hold_out:
            raise InputError(f"Recipe {self.name!r}: patience={self.patience} with hold_out=0, expected a share of it")
        if self.adversarial is not None and self.adversarial.asks_teacher and not self.distill:
            raise InputError(f"Recipe {self.name!r}: distill=0 with an attack that asks a teacher, expected a share")
        if self.features and not self.distill:
            raise InputError(f"Recipe {self.name!r}: distill=0 with features={self.features}, expected a share")
        if self.anew and (self.train != "all" or self.recalibrate):
            said = f"train={self.train!r}, recalibrate={self.recalibrate}"
            raise InputError(f"Recipe {self.name!r}: anew with {said}, expected train='all' and no recalibrate")

    @property
    def views(self) -> tuple[Image, ...]:
        """Which images go through the network in a step of training."""
        return ("clean",) if self.adversarial is None else self.adversarial.views

    @property
    def weights(self) -> dict[Image, float]:
        """What the loss on each image weighs."""
        return {"clean": 1.0} if self.adversarial is None else self.adversarial.weights

    @property
    def taught(self) -> dict[Image, Image]:
        """Of each image that a teacher has a say on, which one the teacher looks at."""
        same = self.adversarial is not None and self.adversarial.teacher_sees == "same"
        return {image: image if same else "clean" for image in self.weights} if self.distill else {}

    @property
    def asked(self) -> set[Image]:
        """Which images go through the teacher in a step of training."""
        looked = {*self.taught.values()}
        return looked | {"clean"} if self.adversarial is not None and self.adversarial.against == "teacher" else looked

    def shares(self, n: int) -> tuple[int, int]:
        """Of `n` images, how many are trained on, and how many are held out. InputError where one side stays empty.

        >>> Recipe(name="r", epochs=1, lr=0.1, hold_out=0.1).shares(1000)
        (900, 100)
        """
        used = n if self.samples is None else self.samples
        held = max(1, round(self.hold_out * used)) if self.hold_out else 0
        if held >= used:
            raise InputError(f"Recipe {self.name!r}: hold_out={self.hold_out} of {used} images leaves none to train on")
        return used - held, held


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
