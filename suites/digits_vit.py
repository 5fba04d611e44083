"""Digits on a small vision Transformer: whole layers or single branches removed, by one criterion or consensus.

Six layers of two branches each, attention and feed-forward, on 16 patches of 2 x 2 pixels, trained adversarially;
`robustprune train suites/digits_vit.py` made the file beside this one. Two of 6 layers cost about what four of 12
branches do. 16 minutes cold on two busy cores.
"""

from functools import partial

from robustprune.attacks import tier
from robustprune.criteria import AngularDistance, BlockInfluence, Cka, DepthFirst, Random, WeightNorm
from robustprune.criteria.consensus import Consensus
from robustprune.data import digits
from robustprune.finetune import Adversarial, Recipe
from robustprune.models.vit import VisionTransformer
from robustprune.policy import Policy
from robustprune.suite import Model, Strategy, Suite, grid

EPS = 16 / 255

build = partial(
    VisionTransformer, size=8, patch=2, in_channels=1, width=32, layers=6, heads=4, normalize=([0.3], [0.37])
)
train = Recipe(
    name="train-at", epochs=24, lr=0.1, batch_size=64, augment="shift", adversarial=Adversarial(eps=EPS, steps=2)
)
short = Recipe(
    name="ft-at",
    epochs=1,
    lr=0.03,
    batch_size=64,
    augment="shift",
    samples=600,
    adversarial=Adversarial(eps=EPS, steps=2),
)

vit = Model(name="vit-at", build=build, weights="weights/digits_vit-at.safetensors", recipe=train)

CRITERIA = (Random(), DepthFirst(), WeightNorm(), Cka(), BlockInfluence(), AngularDistance(), Consensus())

SUITE = Suite(
    name="digits_vit",
    data=digits,
    cases=grid(
        model=vit,
        strategy=[
            Strategy(criterion=criterion, remove=count, protect_first=False, unit=unit)
            for unit, count in (("outermost", 2), ("branch", 4))
            for criterion in CRITERIA
        ],
        recipe=short,
        seed=(0,),
    ),
    attacks=tier("quick", "Linf", EPS),
    policy=Policy(max_clean_drop=0.02, max_robust_drop=0.06, max_class_drop=None),
    samples=300,
    attack_batch=300,
    minutes=15,
    timing_seconds=0.05,
    timing_threads=1,
)
