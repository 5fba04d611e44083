"""Digits as they ship: dense and pruned networks beside their int8 ONNX files. About an hour on two busy cores.

Pruning and quantization are judged together: each network of a family of four adversarially trained parents, pruned by
two criteria, fine-tuned as in `suites/digits.py`, and attacked as the float network that it is and as the int8 file
that it becomes, whose scales are found on training samples.
"""

from dataclasses import replace
from functools import partial

from robustprune.attacks import tier
from robustprune.criteria import Cka
from robustprune.criteria.consensus import Consensus
from robustprune.data import digits
from robustprune.finetune import Adversarial, Recipe
from robustprune.models import CifarResNet
from robustprune.policy import Policy
from robustprune.suite import Model, Strategy, Suite, grid

EPS = 16 / 255
RUNS = 4

build = partial(CifarResNet, depth=20, width=8, in_channels=1, mean=[0.3], std=[0.37])
train = Recipe(name="train-at", epochs=8, lr=0.1, augment="shift", adversarial=Adversarial(eps=EPS, steps=4))
short = replace(train, name="ft-at", epochs=2, lr=0.02, adversarial=Adversarial(eps=EPS, steps=3))
parents = [
    Model(
        name=f"resnet20-at-{k}",
        family="resnet20-at",
        build=build,
        weights=f"weights/digits_resnet20-at_{k}.safetensors",
        recipe=train,
        seed=k,
    )
    for k in range(RUNS)
]

SUITE = Suite(
    name="digits_int8",
    data=digits,
    cases=[
        case
        for model in parents
        for case in grid(
            model=model,
            strategy=[Strategy(criterion=one, remove=3, keep_per_stage=0) for one in (Cka(), Consensus())],
            recipe=short,
            seed=(model.seed,),
            ships=("onnx-int8",),
        )
    ],
    attacks=tier("quick", "Linf", EPS),
    policy=Policy(max_clean_drop=0.02, max_robust_drop=0.06, max_class_drop=None),
    samples=300,
    attack_batch=300,
    minutes=55,
    timing_seconds=0.1,
    timing_threads=1,
)
