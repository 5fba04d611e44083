"""Digits: 8 x 8 images that come with scikit-learn, so nothing is downloaded. Cold, under 4 minutes on two cores.

A residual net of 15 blocks, once trained the usual way and once adversarially, is pruned by five criteria at two
budgets, fine-tuned, and attacked. Eps is large for the standard net and moderate for the other: digits have few grey
levels, so a perturbation of 0.1 is still easy to read.
"""

from dataclasses import replace
from functools import partial

from robustprune.attacks import CW, FGSM, PGD
from robustprune.consensus import Consensus
from robustprune.criteria import Cka, DepthFirst, Random, WeightNorm
from robustprune.data import digits
from robustprune.finetune import Adversarial, Recipe
from robustprune.models import CifarResNet
from robustprune.policy import Policy
from robustprune.suite import Model, Strategy, Suite, grid

EPS = 0.1

build = partial(CifarResNet, depth=32, width=8, in_channels=1, mean=[0.3], std=[0.37])
train = Recipe(name="train", epochs=12, lr=0.1, augment="shift")
adversarially = replace(train, name="adversarial", epochs=12, adversarial=Adversarial(eps=EPS, steps=5))
standard = Model(name="resnet32", build=build, recipe=train)
robust = Model(name="resnet32-at", build=build, recipe=adversarially)

strategies = [
    Strategy(criterion=criterion, remove=blocks)
    for criterion in (Random(), DepthFirst(), WeightNorm(), Cka(), Consensus())
    for blocks in (4, 7)
]
seeds = (0, 1, 2)

SUITE = Suite(
    name="digits",
    data=digits,
    cases=[
        *grid(model=standard, strategy=strategies, recipe=replace(train, name="ft", epochs=3, lr=0.02), seed=seeds),
        *grid(model=robust, strategy=strategies, recipe=replace(adversarially, name="at-ft", epochs=3, lr=0.02), seed=seeds),
    ],
    attacks=(FGSM(eps=EPS), PGD(eps=EPS, steps=20), CW(eps=1.0)),
    policy=Policy(max_clean_drop=0.01, max_robust_drop=0.02),
    samples=300,
    minutes=4,
    timing_seconds=0.2,
)
