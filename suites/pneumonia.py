"""PneumoniaMNIST: X-rays of two classes, a ResNet-20 pruned by five criteria. About 20 minutes on two busy cores.

Three kinds of threat: small perturbations, common corruptions, turns with shifts; the worst case is over all of them.
The parent was trained here, both classes weighing alike, and lies beside this file; `robustprune train
suites/pneumonia.py` trains it anew. Data: pneumoniamnist.npz of MedMNIST in the data folder, or in its folder
`pneumonia`. One run a criterion: this shows networks, and supports no claim on a criterion.
"""

from functools import partial

from robustprune.attacks import Corruptions, RotateTranslate, tier
from robustprune.criteria import Cka, DepthFirst, Random, WeightNorm
from robustprune.criteria.consensus import Consensus
from robustprune.data import pneumonia
from robustprune.finetune import Recipe
from robustprune.models import CifarResNet
from robustprune.policy import Policy
from robustprune.suite import Model, Strategy, Suite, grid

EPS = 4 / 255

build = partial(CifarResNet, depth=20, width=8, in_channels=1, classes=2, mean=[0.572], std=[0.168])
train = Recipe(name="train", epochs=6, lr=0.1, augment="shift", class_weights="balanced")
resnet20 = Model(name="resnet20", build=build, weights="weights/pneumonia_resnet20.safetensors", recipe=train)
short = Recipe(name="ft", epochs=1, lr=0.02, augment="shift", class_weights="balanced", distill=0.5)

CRITERIA = (Random(), DepthFirst(), WeightNorm(), Cka(), Consensus())

SUITE = Suite(
    name="pneumonia",
    data=pneumonia,
    cases=grid(
        model=resnet20,
        strategy=[Strategy(criterion=criterion, remove=2, keep_per_stage=0) for criterion in CRITERIA],
        recipe=short,
        seed=(0,),
    ),
    attacks=(
        *tier("quick", "Linf", EPS, 2),
        Corruptions(severity=1),
        Corruptions(severity=3),
        RotateTranslate(degrees=30, shift=0.1, angles=5, shifts=3),
    ),
    policy=Policy(max_clean_drop=0.03, max_robust_drop=0.08, max_class_drop=0.15, min_robust=None),
    minutes=20,
    attack_batch=312,
    timing_seconds=0.1,
    timing_threads=1,
)
