"""The bumps that Square makes under L2 (equation 2 of the paper): one up and one down, side by side in a square."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional


def half(height: int, width: int) -> Tensor:
    """Return a bump (height, width) (float64) of length 1, falling from the middle by rings.

    A pixel in ring d around the middle is worth 1/(d+1)^2 + 1/(d+2)^2 + ... up to the last ring.

    >>> half(1, 1)
    tensor([[1.]], dtype=torch.float64)
    """
    last = max(height, width) // 2
    worth = (1 / torch.arange(1, last + 2, dtype=torch.float64) ** 2).flip(0).cumsum(0).flip(0)
    high, wide = ((torch.arange(size) - size // 2).abs() for size in (height, width))
    bump = worth[torch.maximum(high[:, None], wide[None])]
    return bump / bump.square().sum().sqrt()


@lru_cache(maxsize=64)
def pattern(side: int) -> Tensor:
    """Return two halves (side, side) of length 1, the upper one up and the lower one down."""
    both = torch.cat((half(side // 2, side), -half(side - side // 2, side)))
    return both / both.square().sum().sqrt()


@lru_cache(maxsize=16)
def patterns(sides: tuple[int, ...], kind: torch.dtype, device: torch.device) -> Tensor:
    """Return (k, 2, S, S) the pattern of each side as it is and lying, S the largest side, zeros behind."""
    upright = [functional.pad(pattern(side), (0, max(sides) - side) * 2) for side in sides]
    return torch.stack([torch.stack((one, one.T)) for one in upright]).to(kind).to(device)


@lru_cache(maxsize=64)
def whole(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    """Return whole numbers as a tensor, the same one every time."""
    return torch.tensor(numbers, device=device)
