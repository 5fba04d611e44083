"""Small vision Transformers: the adversarially trained one of VNN-COMP 2023, and others built the same way.

Shi et al.'s nets (arXiv 2405.21063; shizhouxing/ViT_vnncomp2023) have a batch normalisation where a Transformer usually
has a layer normalisation, ReLU in the feed-forward branch, and give out logits from the mean over all tokens.
Parameters are named as in their files. The input is an image in [0,1]; it is normalised inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from robustprune.errors import InputError
from robustprune.models.normalize import Normalize

NORMS = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
VNNCOMP_MEAN, VNNCOMP_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


class VisionTransformer(nn.Sequential):
    """Patches and a class token with learned positions, `layers` pre-norm layers, a linear head on the mean token.

    x: (N, in_channels, size, size) in [0,1] -> logits (N, classes). Each layer adds two branches, attention of `heads`
    heads and a feed-forward of `hidden` neurons. `norm` normalises each channel over the batch ("batch") or each token
    ("layer"). Raises InputError where the patches do not fill the image, or the heads do not share the width.

    >>> VisionTransformer(size=8, patch=2, in_channels=1, width=16, layers=1, heads=2)(torch.rand(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        *,
        size: int = 32,
        patch: int = 16,
        in_channels: int = 3,
        width: int = 48,
        layers: int = 2,
        heads: int = 3,
        norm: Literal["batch", "layer"] = "batch",
        normalize: tuple[Sequence[float], Sequence[float]] | None = None,
    ) -> None:
        if size % patch or width % heads or norm not in NORMS:
            given = f"size={size}, patch={patch}, width={width}, heads={heads}, norm={norm!r}"
            raise InputError(f"VisionTransformer: {given}; expected whole patches, whole heads, 'batch' or 'layer'")
        stack = nn.Sequential(*(Layer(width, heads, norm) for _ in range(layers)))
        head = nn.Sequential(MeanToken(), NORMS[norm](width), nn.Linear(width, 10))
        super().__init__(Patches(size, patch, in_channels, width, normalize), stack, head)


class Patches(nn.Module):
    """Images (N, C, H, W) to tokens (N, 1 + patches, width): a class token first, positions added."""

    def __init__(
        self,
        size: int,
        patch: int,
        in_channels: int,
        width: int,
        normalize: tuple[Sequence[float], Sequence[float]] | None,
    ) -> None:
        super().__init__()
        self.normalize = nn.Identity() if normalize is None else Normalize(*normalize)
        self.projection = nn.Conv2d(in_channels, width, patch, patch)
        self.cls_token = nn.Parameter(torch.randn(width))
        self.positions = nn.Parameter(0.02 * torch.randn((size // patch) ** 2 + 1, width))

    def forward(self, x: Tensor) -> Tensor:
        """The tokens."""
        tokens = self.projection(self.normalize(x)).flatten(2).transpose(1, 2)
        return torch.cat([self.cls_token.expand(len(x), 1, -1), tokens], 1) + self.positions


class Layer(nn.Sequential):
    """Attention and feed-forward, each of them added to what it is given."""

    def __init__(self, width: int, heads: int, norm: str) -> None:
        feed_forward = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Identity(), nn.Linear(2 * width, width))
        super().__init__(
            Branch(TokenNorm(width, norm), Attention(width, heads)), Branch(TokenNorm(width, norm), feed_forward)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (N, T, width) to tokens."""
        attention, feed_forward = self
        x = x + attention(x)
        return x + feed_forward(x)


class Branch(nn.Module):
    """A normalisation and what follows it."""

    def __init__(self, *steps: nn.Module) -> None:
        super().__init__()
        self.fn = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        """What is added to x."""
        added: Tensor = self.fn(x)
        return added


class TokenNorm(nn.Module):
    """Tokens (N, T, width), normalised by channel over batch and tokens, or by token."""

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        self.norm = NORMS[norm](width)

    def forward(self, x: Tensor) -> Tensor:
        """The same tokens, normalised."""
        if isinstance(self.norm, nn.LayerNorm):
            return self.norm(x)
        normed: Tensor = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return normed


class Attention(nn.Module):
    """Softmax attention of all tokens to all, over heads of equal width."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (N, T, width) to tokens."""
        parts = [part(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)]
        mixed = scaled_dot_product_attention(*parts)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class MeanToken(nn.Module):
    """The mean over tokens (N, T, width)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, width)."""
        return x.mean(1)


def cifar10_vit() -> VisionTransformer:
    """ViT for CIFAR-10 with 2 layers (4 branches), as `vit_pgd_2_3_16.onnx` of VNN-COMP 2023 expects."""
    return VisionTransformer(normalize=(VNNCOMP_MEAN, VNNCOMP_STD))
