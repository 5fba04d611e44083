"""CIFAR-10: the adversarially trained ViT of VNN-COMP 2023, a layer or single branches removed by seven criteria.

Two layers, so four branches. Weights and images come from the data folder: `vit/vit_pgd_2_3_16.onnx`, trained against
2/255, and CIFAR-10 or its two npz subsets; the training images were seen by the parent, so they serve for scoring and
fine-tuning only. 13 minutes cold on two busy cores.
"""

from robustprune.attacks import tier
from robustprune.criteria import AngularDistance, BlockInfluence, Cka, DepthFirst, Random, WeightNorm
from robustprune.criteria.consensus import Consensus
from robustprune.data import cifar10
from robustprune.finetune import Adversarial, Recipe
from robustprune.models.vit import cifar10_vit
from robustprune.policy import Policy
from robustprune.suite import Model, Strategy, Suite, grid

EPS = 2 / 255

vit = Model(name="vit", build=cifar10_vit, weights="vit/vit_pgd_2_3_16.onnx")
short = Recipe(
    name="ft-at", epochs=1, lr=0.01, augment="crop-flip", samples=1_000, adversarial=Adversarial(eps=EPS, steps=2)
)

CRITERIA = (Random(), DepthFirst(), WeightNorm(), Cka(), BlockInfluence(), AngularDistance(), Consensus())

SUITE = Suite(
    name="cifar10_vit",
    data=cifar10,
    cases=grid(
        model=vit,
        strategy=[
            *(Strategy(criterion=one, remove=1, protect_first=False) for one in CRITERIA),
            *(
                Strategy(criterion=one, remove=count, protect_first=False, unit="branch")
                for count in (1, 2)
                for one in CRITERIA
            ),
        ],
        recipe=short,
        seed=(0,),
    ),
    attacks=tier("quick", "Linf", EPS),
    policy=Policy(max_clean_drop=0.02, max_robust_drop=0.07, max_class_drop=None),
    samples=300,
    attack_batch=300,
    minutes=15,
    timing_seconds=0.05,
    timing_threads=1,
)
