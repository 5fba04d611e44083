"""Networks that have a name on the command line; the first line of each docstring describes it."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from robustprune.models.resnet import cifar10_resnet, resnet4b
from robustprune.models.vit import cifar10_vit


def _cifar10_resnet(depth: int) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        return cifar10_resnet(depth)

    build.__doc__ = f"ResNet-{depth} for CIFAR-10 with option-A shortcuts, normalised as the published weights expect."
    build.__name__ = f"cifar10_resnet{depth}"
    return build


MODELS: dict[str, Callable[[], nn.Module]] = {
    **{f"cifar10-resnet{depth}": _cifar10_resnet(depth) for depth in (20, 32, 44, 56, 110)},
    "resnet4b": resnet4b,
    "cifar10-vit": cifar10_vit,
}
"""Name -> factory, with random weights."""
