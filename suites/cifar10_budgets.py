"""CIFAR-10: other budgets by the recipe of `cifar10_distilled`: a third of ResNet-56, a third and more of ResNet-20.

The published ResNet-56 loses 10 of its 27 blocks, the published ResNet-20 3 or 5 of its 9; each learns from its parent,
stage by stage, in 9 epochs of 50,000 images, most of them JPEG where official CIFAR-10 is not there. ResNet-20 whole
learns as long; `cifar10_distilled` has that control for ResNet-56. An hour on two cores. One run: nothing here is said
of another training.
"""

from cifar10_distilled import data, recipe, resnet56
from cifar10_hardened import resnet20

from robustprune.attacks import tier
from robustprune.criteria import Random
from robustprune.criteria.consensus import Consensus
from robustprune.policy import Policy
from robustprune.suite import Case, Strategy, Suite, grid

SMALL = [Strategy(criterion=Consensus(), remove=k, keep_per_stage=0) for k in (3, 5)]
CHANCE = Strategy(criterion=Random(), remove=3, keep_per_stage=0)
THIRD = Strategy(criterion=Consensus(), remove=10, keep_per_stage=3)

SUITE = Suite(
    name="cifar10_budgets",
    data=data,
    cases=[
        Case(model=resnet56),
        Case(model=resnet56, strategy=THIRD, recipe=recipe),
        *grid(model=resnet20, strategy=[*SMALL, CHANCE], recipe=recipe),
    ],
    attacks=tier("quick", "Linf", 0.5 / 255),
    policy=Policy(max_clean_drop=0.02, max_robust_drop=0.07, max_class_drop=None),
    samples=1_000,
    minutes=60,
    timing_seconds=1.0,
)
