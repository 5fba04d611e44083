"""Squares of many sizes in many places, one a sample, read and written at once."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from robustprune.attacks.contract.randomness import below


class Window:
    """Squares of sides `side` (m,) at random places, one in each of the images `x` (m, C, H, W).

    All are handled as S^2 pixels, S the largest side: a smaller square has its last row and column several times,
    which does no harm where pixels are written, since they are written alike, and is left out of sums. Images may be
    smaller than a square: then it is cut.
    """

    def __init__(self, x: Tensor, side: Tensor, drawn: Tensor) -> None:
        height, width = x.shape[-2:]
        self.channels, self.width = x.shape[1], width
        self.high, self.wide = side.clamp(max=height)[:, None], side.clamp(max=width)[:, None]
        self.top = below(drawn[:, :1], height + 1 - self.high)
        self.left = below(drawn[:, 1:], width + 1 - self.wide)
        self.count = torch.arange(int(side.max()), device=x.device)
        self.down, self.right = self.count.minimum(self.high - 1), self.count.minimum(self.wide - 1)
        self.row, self.column = self.top + self.down, self.left + self.right

    @cached_property
    def pixels(self) -> Tensor:
        """The places (m, C, S^2) of its pixels among the H x W of a channel."""
        flat = (self.row[:, :, None] * self.width + self.column[:, None, :]).flatten(1)
        return flat[:, None].expand(-1, self.channels, -1)

    @cached_property
    def proper(self) -> Tensor:
        """Which pixels (m, 1, S^2) are there for the first time."""
        inside = (self.count < self.high)[:, :, None] & (self.count < self.wide)[:, None, :]
        return inside.flatten(1)[:, None]

    def of(self, images: Tensor) -> Tensor:
        """Return a copy (m, C, S^2) of what the images show there."""
        return images.flatten(2).gather(2, self.pixels)

    def put(self, images: Tensor, values: Tensor | float) -> Tensor:
        """Return the images, which are used up, with `values` (m, C, S^2), or one for all, written into them."""
        return images.flatten(2).scatter_(2, self.pixels, values).view_as(images)

    def total(self, values: Tensor) -> Tensor:
        """Return (m, C, 1) the sum of `values` (m, C, S^2) in every channel, each pixel once."""
        return (values * self.proper).sum(2, keepdim=True)

    def meets(self, other: Window) -> Tensor:
        """Return which of its pixels (m, 1, S^2) lie in the other square too."""
        rows = (self.row >= other.top) & (self.row < other.top + other.high)
        columns = (self.column >= other.left) & (self.column < other.left + other.wide)
        return (rows[:, :, None] & columns[:, None, :]).flatten(1)[:, None]

    def pattern(self, patterns: Tensor, size: Tensor, lying: Tensor) -> Tensor:
        """Return (m, 1, S^2) the pattern of a size (m,) that fits it, upright or lying; `patterns` is (k, 2, s, s)."""
        chosen = patterns[size[:, None, None], lying[:, None, None], self.down[:, :, None], self.right[:, None, :]]
        return chosen.flatten(1)[:, None]
