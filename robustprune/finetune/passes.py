"""What a recipe costs in passes of samples, so that recipes compare at equal cost. Told by the recipe alone."""

from __future__ import annotations

from dataclasses import dataclass

from robustprune.finetune.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Passes:
    """How many samples go forward and backward through the network, and forward through its teacher.

    A backward counts as one whether it gives the gradient of the weights, of the images, or of a few layers only.
    """

    forwards: int
    backwards: int
    teacher: int


def cost(recipe: Recipe, n: int) -> Passes:
    """The passes of `recipe` on `n` training images; with `patience` the most that there may be.

    Each step of the inner attack is a forward and a backward. Not counted are two images that try once which memory
    layout the network runs in, and two that tell where the stages of a teacher end. `recalibrate` costs nothing in a
    network without BatchNorm.

    >>> from robustprune.finetune.adversarial import Adversarial
    >>> cost(Recipe(name="r", epochs=2, lr=0.1, adversarial=Adversarial(eps=0.1, steps=7)), 1000)
    Passes(forwards=16000, backwards=16000, teacher=0)
    """
    trained, held = recipe.shares(n)
    settings = recipe.adversarial
    steps = 0 if settings is None else settings.steps
    outputs = 0 if settings is None or settings.against != "outputs" else 1
    learned = len(recipe.views) * (2 if settings is not None and settings.gamma else 1)
    forwards = trained * (steps + outputs + learned) + held * (steps + 1)
    backwards = trained * (steps + learned) + held * steps
    return Passes(
        forwards=recipe.epochs * forwards + trained * recipe.recalibrate,
        backwards=recipe.epochs * backwards,
        teacher=recipe.epochs * trained * len(recipe.asked),
    )
