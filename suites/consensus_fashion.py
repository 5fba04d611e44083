"""Fashion-MNIST: does consensus choose better blocks than one criterion? Four ResNet-20 without 3, 5 or 6 of 9 blocks.

Two parents were trained the usual way and two adversarially; `robustprune train suites/consensus_fashion.py` made
them. What consensus leaves when 3 are gone is trained from scratch as well. Hours on two cores, minutes on a large GPU;
`results/consensus/README.md` has what came of it.
"""

from functools import partial

from contestants import cases, fitted, parents

from robustprune.attacks import tier
from robustprune.data import fashion_mnist
from robustprune.finetune import Adversarial, Recipe
from robustprune.models import CifarResNet
from robustprune.policy import Policy
from robustprune.suite import Suite

EPS = 4 / 255

build = partial(CifarResNet, depth=20, in_channels=1, mean=[0.286], std=[0.353])
train = Recipe(name="train", epochs=6, lr=0.1, batch_size=256, augment="flip")
train_robust = Recipe(
    name="train-at", epochs=6, lr=0.1, batch_size=256, augment="flip", adversarial=Adversarial(eps=EPS, steps=3)
)

SUITE = Suite(
    name="consensus_fashion",
    data=fashion_mnist,
    cases=cases(
        [*parents(build, "fashion", train), *parents(build, "fashion", train_robust)],
        epochs=1,
        samples=10_000,
        more=[fitted()],
        removals=[3, 6, 5],
        scratch=[3],
    ),
    attacks=tier("quick", "Linf", EPS),
    policy=Policy(max_clean_drop=0.02, max_robust_drop=0.06, max_class_drop=None),
    samples=2_000,
    attack_batch=1_000,
    minutes=600,
    timing_seconds=0.02,
)
