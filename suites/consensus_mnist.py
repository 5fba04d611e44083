"""MNIST: does consensus choose better blocks than one criterion? Four ResNet-20 without 3, 5 or 6 of their 9 blocks.

Two parents were trained the usual way and two adversarially; `robustprune train suites/consensus_mnist.py` made them.
The data are two npz files, `mnist/mnist_train_60000.npz` and `mnist/mnist_test_10000.npz`, in the data folder. What
consensus leaves when 3 are gone is trained from scratch as well. Hours on two cores, minutes on a large GPU;
`results/consensus/README.md` has what came of it.
"""

from functools import partial

from contestants import cases, fitted, parents

from robustprune.attacks import tier
from robustprune.data import Data, data_root, npz
from robustprune.finetune import Adversarial, Recipe
from robustprune.models import CifarResNet
from robustprune.policy import Policy
from robustprune.suite import Suite

EPS = 0.1


def mnist() -> Data:
    """The two files in the data folder."""
    return npz(data_root() / "mnist")


build = partial(CifarResNet, depth=20, in_channels=1, mean=[0.131], std=[0.308])
train = Recipe(name="train", epochs=4, lr=0.1, batch_size=256)
train_robust = Recipe(name="train-at", epochs=4, lr=0.1, batch_size=256, adversarial=Adversarial(eps=EPS, steps=3))

CASES = cases(
    [*parents(build, "mnist", train), *parents(build, "mnist", train_robust)],
    epochs=1,
    samples=10_000,
    more=[fitted()],
    removals=[3, 6, 5],
    scratch=[3],
)

SUITE = Suite(
    name="consensus_mnist",
    data=mnist,
    cases=CASES,
    attacks=tier("quick", "Linf", EPS),
    policy=Policy(max_clean_drop=0.02, max_robust_drop=0.06, max_class_drop=None),
    samples=2_000,
    attack_batch=1_000,
    minutes=600,
    timing_seconds=0.02,
)
