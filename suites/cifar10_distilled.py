"""CIFAR-10: the published ResNet-56 without 15 of its blocks, nearly as accurate as before? Over an hour on two cores.

Five blocks of each stage go, by consensus or at random. What is left learns from its parent, stage by stage, in 9
epochs of 50,000 images: official CIFAR-10 where it is; else its first 4,000 images as they are and the others as JPEG
(`cifar10_jpeg/train-00000-of-00001.parquet` in the data folder), which costs the parent about 10 points on them, and
teaches nonetheless. Evaluated on images as they are. One run: nothing here is said of another training.
"""

from dataclasses import replace
from functools import partial

import torch

from robustprune.attacks import tier
from robustprune.criteria import Random
from robustprune.criteria.consensus import Consensus
from robustprune.data import Data, Split, cifar10, data_root, parquet
from robustprune.finetune import RECIPES
from robustprune.models import cifar10_resnet
from robustprune.policy import Policy
from robustprune.suite import Model, Strategy, Suite, grid

IMAGES = 50_000


def data() -> Data:
    """CIFAR-10; training images that are not there as they are come from JPEG files, in the official order."""
    found = cifar10()
    missing = len(found.train)
    if missing == IMAGES:
        return found
    lossy = parquet(data_root() / "cifar10_jpeg", test_share=1).test
    x, y = torch.cat([found.train.x, lossy.x[missing:]]), torch.cat([found.train.y, lossy.y[missing:]])
    return replace(found, train=Split(x, y), source=f"{found.source}; training images behind these from JPEG files")


resnet56 = Model(name="resnet56", build=partial(cifar10_resnet, 56), weights="checkpoints/cifar10_resnet56-4bfd9763.th")

recipe = replace(RECIPES["distill-stages"](), name="stages", precision="bfloat16")

SUITE = Suite(
    name="cifar10_distilled",
    data=data,
    cases=grid(
        model=resnet56,
        strategy=[Strategy(criterion=one, remove=15, keep_per_stage=3) for one in (Consensus(), Random())],
        recipe=recipe,
    ),
    attacks=tier("quick", "Linf", 0.5 / 255),
    policy=Policy(max_clean_drop=0.02, max_robust_drop=0.07, max_class_drop=None),
    samples=1_000,
    minutes=100,
    timing_seconds=1.0,
)
