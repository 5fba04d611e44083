"""CIFAR-10: the published ResNet-20 without 3 or 5 of its 9 blocks, by the recipe of `cifar10_distilled`. Half an hour.

The network learns from its parent, stage by stage, in 9 epochs of 50,000 images, most of them JPEG where official
CIFAR-10 is not there; the dense control as long. One run: nothing here is said of another training.
"""

from functools import partial

from cifar10_distilled import data, recipe

from robustprune.attacks import tier
from robustprune.criteria.consensus import Consensus
from robustprune.models import cifar10_resnet
from robustprune.policy import Policy
from robustprune.suite import Model, Strategy, Suite, grid

resnet20 = Model(name="resnet20", build=partial(cifar10_resnet, 20), weights="checkpoints/cifar10_resnet20-12fca82f.th")

SUITE = Suite(
    name="cifar10_resnet20",
    data=data,
    cases=grid(
        model=resnet20,
        strategy=[Strategy(criterion=Consensus(), remove=k, keep_per_stage=0) for k in (3, 5)],
        recipe=recipe,
    ),
    attacks=tier("quick", "Linf", 0.5 / 255),
    policy=Policy(max_clean_drop=0.02, max_robust_drop=0.07, max_class_drop=None),
    samples=1_000,
    minutes=30,
    timing_seconds=1.0,
)
