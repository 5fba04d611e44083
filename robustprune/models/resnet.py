"""ResNets for small images: He et al.'s CIFAR family of depth 6n + 2, and the robust net of alpha-beta-CROWN.

Parameters are named as in the files people publish (conv1, bn1, layer1.0.conv1, linear), so these load as
they are. Every network normalises inside: its input is an image in [0,1].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from robustprune.errors import InputError
from robustprune.models.normalize import Normalize

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR10_MEAN, CIFAR10_STD = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)


class CifarResNet(nn.Module):
    """A ResNet of three stages with n blocks each, depth 6n + 2 (He et al., arXiv 1512.03385, section 4.2).

    x: (N, in_channels, H, W), any H and W, in [0,1] -> logits (N, classes). `width` is the channel count of
    the first stage; the others have two and four times as many. `shortcut` is what stands where the shape
    changes: "A" takes every second pixel and pads the channels with zeros, without weights; "B" is a 1x1
    convolution with BatchNorm. `mean` and `std` are the normalisation inside the model, one value a channel;
    without them there is none.

    Raises InputError for a depth that is not 6n + 2, or another argument out of range.

    >>> import torch
    >>> CifarResNet(20, "B", in_channels=1)(torch.rand(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        depth: int,
        shortcut: Literal["A", "B"] = "A",
        in_channels: int = 3,
        classes: int = 10,
        width: int = 16,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        _check(depth, shortcut, in_channels, classes, width)
        blocks = (depth - 2) // 6
        self.normalize = _normalisation(mean, std, in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, blocks, 1, shortcut)
        self.layer2 = _stage(width, 2 * width, blocks, 2, shortcut)
        self.layer3 = _stage(2 * width, 4 * width, blocks, 2, shortcut)
        self.linear = nn.Linear(4 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, in_channels, H, W) in [0,1] to logits (N, classes)."""
        x = functional.relu(self.bn1(self.conv1(self.normalize(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


class BasicBlock(nn.Module):
    """relu(shortcut(x) + conv-bn(relu(conv-bn(x)))), the block of He et al."""

    def __init__(self, before: int, channels: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = _shortcut(before, channels, stride, shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        out = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class Subsample(nn.Module):
    """Option A: every `stride`-th pixel, and zeros for the new `channels`, half of them on each side."""

    def __init__(self, stride: int, channels: int) -> None:
        super().__init__()
        self.stride, self.channels = stride, channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C + channels, ceil(H / stride), ceil(W / stride))."""
        low = self.channels // 2
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, low, self.channels - low))


class PlainBlock(nn.Module):
    """relu(shortcut(x) + conv(relu(conv(x)))) without BatchNorm, as in `Resnet4b`."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.shortcut = nn.Sequential()
        if stride != 1 or before != channels:
            self.shortcut.append(nn.Conv2d(before, channels, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        out = functional.relu(self.conv1(x))
        return functional.relu(self.conv2(out) + self.shortcut(x))


class Resnet4b(nn.Module):
    """The small ResNet "resnet4b" of alpha-beta-CROWN: a stem of stride 2, two stages of two blocks.

    There is no BatchNorm. x: (N, 3, 32, 32) in [0,1] -> logits (N, 10). Blocks layer1.1 and layer2.1 can be removed.
    """

    def __init__(self, mean: Sequence[float] = CIFAR10_MEAN, std: Sequence[float] = CIFAR10_STD) -> None:
        super().__init__()
        self.normalize = Normalize(mean, std)
        self.conv1 = nn.Conv2d(3, 16, 3, 2, padding=1)
        self.layer1 = nn.Sequential(PlainBlock(16, 32, 2), PlainBlock(32, 32, 1))
        self.layer2 = nn.Sequential(PlainBlock(32, 32, 2), PlainBlock(32, 32, 1))
        self.linear1 = nn.Linear(512, 100)
        self.linear2 = nn.Linear(100, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, 32, 32) in [0,1] to logits (N, 10)."""
        x = functional.relu(self.conv1(self.normalize(x)))
        x = self.layer2(self.layer1(x)).flatten(1)
        logits: Tensor = self.linear2(functional.relu(self.linear1(x)))
        return logits


def cifar10_resnet(depth: int) -> CifarResNet:
    """The network of the published CIFAR-10 files of akamaster/pytorch_resnet_cifar10; depth 20, 32, ..., 110.

    >>> sum(weights.numel() for weights in cifar10_resnet(20).parameters())
    269722
    """
    return CifarResNet(depth, "A", mean=IMAGENET_MEAN, std=IMAGENET_STD)


def resnet4b() -> Resnet4b:
    """The network that the adversarially trained file cifar10_robust_resnet4b.pth fits.

    >>> import torch
    >>> resnet4b()(torch.rand(1, 3, 32, 32)).shape
    torch.Size([1, 10])
    """
    return Resnet4b()


def _stage(before: int, channels: int, blocks: int, stride: int, shortcut: str) -> nn.Sequential:
    first = BasicBlock(before, channels, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1, shortcut) for _ in range(blocks - 1)))


def _shortcut(before: int, channels: int, stride: int, kind: str) -> nn.Module:
    if stride == 1 and before == channels:
        return nn.Sequential()
    if kind == "A":
        return Subsample(stride, channels - before)
    return nn.Sequential(nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))


def _normalisation(mean: Sequence[float] | None, std: Sequence[float] | None, channels: int) -> nn.Module:
    if mean is None and std is None:
        return nn.Identity()
    if mean is None or std is None or len(mean) != channels:
        raise InputError(f"CifarResNet: mean {mean}, std {std}; expected {channels} values for each, or neither")
    return Normalize(mean, std)


def _check(depth: int, shortcut: str, in_channels: int, classes: int, width: int) -> None:
    if depth < 8 or (depth - 2) % 6:
        below = max(8, depth - (depth - 2) % 6)
        raise InputError(f"CifarResNet: depth {depth}; expected 6n + 2, such as {below} or {below + 6}")
    if shortcut not in ("A", "B"):
        raise InputError(f"CifarResNet: shortcut {shortcut!r}; expected 'A' (no weights) or 'B' (1x1 convolution)")
    if min(in_channels, classes, width) < 1:
        raise InputError(
            f"CifarResNet: in_channels {in_channels}, classes {classes}, width {width}; expected 1 or more"
        )
