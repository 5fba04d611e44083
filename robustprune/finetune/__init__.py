"""Recipes, and the loop that follows them."""

from robustprune.finetune.augment import AUGMENTS, Augment
from robustprune.finetune.loop import DivergedError, distillation_loss, finetune, recalibrate
from robustprune.finetune.recipe import RECIPES, Adversarial, Recipe, learning_rate

__all__ = [
    "AUGMENTS",
    "RECIPES",
    "Adversarial",
    "Augment",
    "DivergedError",
    "Recipe",
    "distillation_loss",
    "finetune",
    "learning_rate",
    "recalibrate",
]
