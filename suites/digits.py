"""Digits: 8 x 8 images that come with scikit-learn, so nothing is downloaded. About 10 minutes cold on two cores.

A residual net of 9 blocks, trained four times the usual way and four times adversarially, is pruned by five criteria,
fine-tuned and attacked. Digits have 17 grey levels, so a perturbation of 16/255 is one level. The parents lie beside
this file, so that they are the same on every machine; `robustprune train suites/digits.py` made them.
"""

from dataclasses import replace
from functools import partial

from robustprune.attacks import CW, tier
from robustprune.criteria import Cka, DepthFirst, Random, WeightNorm
from robustprune.criteria.consensus import Consensus
from robustprune.data import digits
from robustprune.finetune import Adversarial, Recipe
from robustprune.models import CifarResNet
from robustprune.policy import Policy
from robustprune.suite import Model, Strategy, Suite, grid

EPS = 16 / 255
RUNS = 4

build = partial(CifarResNet, depth=20, width=8, in_channels=1, mean=[0.3], std=[0.37])
train = Recipe(name="train", epochs=12, lr=0.1, augment="shift")
train_robust = replace(train, name="train-at", epochs=8, adversarial=Adversarial(eps=EPS, steps=4))
short = replace(train, name="ft", epochs=2, lr=0.02)
short_robust = replace(short, name="ft-at", epochs=2, adversarial=Adversarial(eps=EPS, steps=3))

strategies = [
    Strategy(criterion=criterion, remove=3, keep_per_stage=0)
    for criterion in (Random(), DepthFirst(), WeightNorm(), Cka(), Consensus())
]


def parents(family: str, recipe: Recipe) -> list[Model]:
    """The same network trained several times: runs that a claim about a strategy has to hold for."""
    files = [f"weights/digits_{family}_{k}.safetensors" for k in range(RUNS)]
    return [
        Model(name=f"{family}-{k}", family=family, build=build, weights=file, recipe=recipe, seed=k)
        for k, file in enumerate(files)
    ]


usual = [(model, short) for model in parents("resnet20", train)]
robust = [(model, short_robust) for model in parents("resnet20-at", train_robust)]

SUITE = Suite(
    name="digits",
    data=digits,
    cases=[
        case
        for model, recipe in usual + robust
        for case in grid(model=model, strategy=strategies, recipe=recipe, seed=(model.seed,))
    ],
    attacks=(*tier("quick", "Linf", EPS), *tier("quick", "L2", 0.5), CW(eps=0.5, steps=20, c=(1.0, 10.0))),
    policy=Policy(max_clean_drop=0.02, max_robust_drop=0.06, max_class_drop=None),
    samples=600,
    attack_batch=600,
    minutes=10,
    timing_seconds=0.1,
    timing_threads=1,
)
