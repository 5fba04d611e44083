"""Fashion-MNIST: a ResNet-20, two of its 9 blocks removed by five criteria. Two hours on two cores, so that an
everyday `pytest suites/` leaves it out.

The parent was trained here and lies beside this file; `robustprune train suites/fashion_mnist.py` trains it anew. Data:
found in the data folder or where Debian's package puts it; `fashion_mnist(download=True)` gets it through torchvision.
"""

from functools import partial

from robustprune.attacks import tier
from robustprune.criteria import Cka, DepthFirst, Random, WeightNorm
from robustprune.criteria.consensus import Consensus
from robustprune.data import fashion_mnist
from robustprune.finetune import Recipe
from robustprune.models import CifarResNet
from robustprune.policy import Policy
from robustprune.suite import Model, Strategy, Suite, grid

build = partial(CifarResNet, depth=20, in_channels=1, mean=[0.286], std=[0.353])
train = Recipe(name="train", epochs=5, lr=0.1, augment="flip", samples=30_000)
resnet20 = Model(name="resnet20", build=build, weights="weights/fashion_resnet20.safetensors", recipe=train)
short = Recipe(name="ft", epochs=1, lr=0.02, augment="flip", distill=0.5, samples=4_000)

CRITERIA = (Random(), DepthFirst(), WeightNorm(), Cka(), Consensus())

SUITE = Suite(
    name="fashion_mnist",
    data=fashion_mnist,
    cases=grid(
        model=resnet20,
        strategy=[Strategy(criterion=criterion, remove=2) for criterion in CRITERIA],
        recipe=short,
        seed=(0, 1, 2),
    ),
    attacks=tier("quick", "Linf", 2 / 255),
    policy=Policy(max_clean_drop=0.02, max_robust_drop=0.06, max_class_drop=None),
    samples=1_000,
    minutes=120,
)
