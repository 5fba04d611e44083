"""CIFAR-10: an adversarially trained ResNet-18 without four or five of its eight blocks: a large GPU, some minutes.

The network is the one that robustness benchmarks use (3 x 3 stem, no pooling, 11 million weights). It is trained in
the run, on the 50,000 training images as JPEG files (`cifar10_jpeg/train-00000-of-00001.parquet` in the data folder),
which costs accuracy, and evaluated on test images as they are. Its three blocks that change the resolution stay, so 54
or 68 % of the MACs is what whole blocks allow; 75 and 90 % are out of reach. One parent: nothing is said of another.
"""

from dataclasses import replace

from contestants import CRITERIA
from torch import nn
from torchvision.models import resnet18

from robustprune.attacks import tier
from robustprune.data import Data, cifar10, data_root, parquet
from robustprune.finetune import Adversarial, Recipe
from robustprune.models import Normalize
from robustprune.models.resnet import CIFAR10_MEAN, CIFAR10_STD
from robustprune.policy import Policy
from robustprune.suite import Model, Strategy, Suite, grid

EPS = 8 / 255


def data() -> Data:
    """Training images from JPEG files, test images as they are."""
    lossy = parquet(data_root() / "cifar10_jpeg", test_share=1)
    return replace(cifar10(), train=lossy.test, source="CIFAR-10; training images from JPEG files")


def build() -> nn.Module:
    """ResNet-18 for images of 32 x 32."""
    net = resnet18(num_classes=10)
    net.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    net.maxpool = nn.Identity()
    return nn.Sequential(Normalize(CIFAR10_MEAN, CIFAR10_STD), net)


train = Recipe(
    name="fgsm-rs",
    epochs=12,
    lr=0.2,
    batch_size=256,
    augment="crop-flip",
    precision="bfloat16",
    adversarial=Adversarial.fgsm_rs(EPS),
)

SUITE = Suite(
    name="cifar10_robust",
    data=data,
    cases=grid(
        model=Model(name="resnet18-at", build=build, recipe=train),
        strategy=[
            Strategy(criterion=one, remove=k, keep_per_stage=0, protect_first=False) for k in (4, 5) for one in CRITERIA
        ],
        recipe=replace(train, name="ft", epochs=2, lr=0.02, distill=0.5),
    ),
    attacks=tier("quick", "Linf", EPS),
    policy=Policy(max_clean_drop=0.02, max_robust_drop=0.03, max_class_drop=None),
    samples=1_000,
    attack_batch=500,
    minutes=6_000,
    timing_seconds=0.2,
)
