"""CIFAR-10: published networks without a third or more than half of their work, adversarially fine-tuned. Half an hour.

ResNet-56 without 10 or 15 of its 27 blocks and ResNet-20 without 3 or 5 of its 9, by consensus or at random, and both
whole, see 75,000 images in FGSM-RS (single steps from random starts): official CIFAR-10 where it is, else most of them
as JPEG, as in `cifar10_distilled`. The parents were trained the usual way and withstand nothing at this size, so the
dense controls are what the others are to be held against. One run: nothing here is said of another training.
"""

from functools import partial

from cifar10_distilled import data, resnet56

from robustprune.attacks import tier
from robustprune.criteria import Random
from robustprune.criteria.consensus import Consensus
from robustprune.finetune import Adversarial, Recipe
from robustprune.models import cifar10_resnet
from robustprune.policy import Policy
from robustprune.suite import Model, Strategy, Suite, grid

EPS = 4 / 255
CRITERIA = (Consensus(), Random())

resnet20 = Model(name="resnet20", build=partial(cifar10_resnet, 20), weights="checkpoints/cifar10_resnet20-12fca82f.th")

recipe = Recipe(
    name="fgsm-rs",
    epochs=3,
    lr=0.05,
    augment="crop-flip",
    precision="bfloat16",
    samples=25_000,
    adversarial=Adversarial.fgsm_rs(EPS),
)


def cases(model, removals, keep_per_stage):
    """Both criteria at these depths."""
    chosen = [Strategy(criterion=one, remove=k, keep_per_stage=keep_per_stage) for k in removals for one in CRITERIA]
    return grid(model=model, strategy=chosen, recipe=recipe)


SUITE = Suite(
    name="cifar10_hardened",
    data=data,
    cases=[*cases(resnet56, (15, 10), 3), *cases(resnet20, (3, 5), 0)],
    attacks=tier("quick", "Linf", EPS),
    policy=Policy(max_clean_drop=0.02, max_robust_drop=0.07, max_class_drop=None),
    samples=1_000,
    minutes=35,
    timing_seconds=1.0,
)
