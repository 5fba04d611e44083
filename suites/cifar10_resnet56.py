"""CIFAR-10: the published ResNet-56, 15 of its 27 blocks removed by five criteria. Nearly an hour on two cores.

Weights and images come from the data folder: `checkpoints/cifar10_resnet56-4bfd9763.th`, and full CIFAR-10 where it is,
else the two npz subsets. The training images were seen by the parent, so they serve for scoring and fine-tuning only.
"""

from functools import partial

from robustprune.attacks import tier
from robustprune.criteria import Cka, DepthFirst, Random, WeightNorm
from robustprune.criteria.consensus import Consensus
from robustprune.data import cifar10
from robustprune.finetune import Recipe
from robustprune.models import cifar10_resnet
from robustprune.policy import Policy
from robustprune.suite import Model, Strategy, Suite, grid

resnet56 = Model(name="resnet56", build=partial(cifar10_resnet, 56), weights="checkpoints/cifar10_resnet56-4bfd9763.th")

CRITERIA = (Random(), DepthFirst(), WeightNorm(), Cka(), Consensus())

SUITE = Suite(
    name="cifar10_resnet56",
    data=cifar10,
    cases=grid(
        model=resnet56,
        strategy=[Strategy(criterion=criterion, remove=15) for criterion in CRITERIA],
        recipe=Recipe(name="distil", epochs=1, lr=0.02, augment="crop-flip", distill=0.9, samples=4_000),
        seed=(0, 1, 2),
    ),
    attacks=tier("quick", "Linf", 0.5 / 255),
    policy=Policy(max_clean_drop=0.02, max_robust_drop=0.07, max_class_drop=None),
    samples=1_000,
    minutes=55,
    timing_seconds=1.0,
)
