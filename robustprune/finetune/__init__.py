"""Fine-tuning: recipes, and the loop that follows them.

recipe.py says what a recipe is, adversarial.py what its attacker does, named.py names some, passes.py says what one
costs. loop.py is the training loop; losses.py has what a step learns from, features.py compares stages with a
teacher's, awp.py the attack on the weights, parts.py what moves and what stays, augment.py moves images about,
recalibration.py estimates BatchNorm's statistics, anew.py draws weights anew, course.py writes a training down,
context.py keeps its randomness to itself. To add a recipe: a function and a line in RECIPES (named.py); an augmentation
is a line in AUGMENTS (augment.py). One of your own needs no name: pass the `Recipe`.
"""

from robustprune.finetune.adversarial import Adversarial
from robustprune.finetune.augment import AUGMENTS, Augment
from robustprune.finetune.course import Keeper, State
from robustprune.finetune.loop import DivergedError, Epoch, finetune
from robustprune.finetune.named import RECIPES
from robustprune.finetune.parts import next_to
from robustprune.finetune.passes import Passes, cost
from robustprune.finetune.recipe import Recipe

__all__ = [
    "AUGMENTS",
    "RECIPES",
    "Adversarial",
    "Augment",
    "DivergedError",
    "Epoch",
    "Keeper",
    "Passes",
    "Recipe",
    "State",
    "cost",
    "finetune",
    "next_to",
]
