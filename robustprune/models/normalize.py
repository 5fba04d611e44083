"""Normalisation as a layer inside the model, so that every image outside is in [0,1] and eps means pixels.

Mean and standard deviation are buffers: they follow the model to its device, and no optimiser touches them.
They are not persistent: published weight files do not hold them, so such a file loads strictly, without
missing keys, and what builds the model also states its normalisation. `weights_hash` does cover them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robustprune.errors import InputError


class Normalize(nn.Module):
    """(x - mean) / std per channel.

    x: float (N, C, H, W), in [0,1] by this project's convention; the same shape comes out. Raises InputError for a std
    that is not positive, and in `forward` for another number of channels: three means would silently turn a grey image
    into a colour one.

    >>> Normalize([0.5], [0.25])(torch.ones(1, 1, 1, 1)).item()
    2.0
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        _check(mean, std)
        shape = (1, len(mean), 1, 1)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(shape), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).reshape(shape), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(x - mean) / std; (N, C, H, W) to the same shape."""
        channels = self.mean.shape[1]
        if x.dim() != 4 or x.shape[1] != channels:
            raise InputError(
                f"Normalize: input of shape {tuple(x.shape)}; expected (N, {channels}, H, W), "
                f"one channel for each of the {channels} means"
            )
        return (x - self.mean) / self.std

    def extra_repr(self) -> str:
        """The values, for `print(model)`."""
        return f"mean={_rounded(self.mean)}, std={_rounded(self.std)}"


class Normalized(nn.Module):
    """Any network that expects normalised input, made into one that takes images in [0,1].

    >>> Normalized(nn.Flatten(), [0.5], [0.5])(torch.zeros(1, 1, 1, 2))
    tensor([[-1., -1.]])
    """

    def __init__(self, net: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.normalize = Normalize(mean, std)
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Images in [0,1] to what the net returns."""
        logits: Tensor = self.net(self.normalize(x))
        return logits


def _check(mean: Sequence[float], std: Sequence[float]) -> None:
    if len(mean) != len(std) or not mean:
        raise InputError(f"Normalize: {len(mean)} means and {len(std)} stds; expected one of each for every channel")
    if not all(value > 0 and value != float("inf") for value in std) or not all(abs(m) < float("inf") for m in mean):
        raise InputError(f"Normalize: mean {list(mean)}, std {list(std)}; expected finite means and stds above 0")


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.flatten().tolist()]
