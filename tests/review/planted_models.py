"""Networks for the tests of reviews: what `planted_models.py:factory` names on the command line."""

from __future__ import annotations

import torch
from torch import nn

from robustprune.models import CifarResNet


def small() -> CifarResNet:
    return CifarResNet(14, width=8, in_channels=1, mean=[0.3], std=[0.37])


class Masked(CifarResNet):
    """Rounds its logits: right on clean images, and without gradients."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.round(super().forward(x) * 2) / 2


def masked() -> Masked:
    return Masked(14, width=8, in_channels=1, mean=[0.3], std=[0.37])


class Wrapped(nn.Module):
    """Holds the network and a head around it."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small()
        self.head = nn.Softplus()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.net(x))


def moody() -> CifarResNet:
    """Another network at every call."""
    return small()


def broken() -> CifarResNet:
    raise RuntimeError("nothing here")


def text() -> str:
    return "no network"


number = 3


def two() -> nn.Module:
    """A network for two classes, the same at every call."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    nn.init.ones_(net[1].weight)
    nn.init.zeros_(net[1].bias)
    return net
