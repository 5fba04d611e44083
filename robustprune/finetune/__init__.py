"""Fine-tuning: recipes, and the loop that follows them.

recipe.py says what a recipe is and names some, loop.py is the training loop, augment.py moves images about, context.py
keeps the randomness of a training to itself. To add a recipe: a function and a line in RECIPES, both in recipe.py; an
augmentation is a line in AUGMENTS (augment.py). One of your own needs no name: pass the `Recipe`.
"""

from robustprune.finetune.augment import AUGMENTS, Augment
from robustprune.finetune.loop import DivergedError, Epoch, finetune
from robustprune.finetune.recipe import RECIPES, Adversarial, Recipe

__all__ = [
    "AUGMENTS",
    "RECIPES",
    "Adversarial",
    "Augment",
    "DivergedError",
    "Epoch",
    "Recipe",
    "finetune",
]
