"""Random shifts and mirrorings of a whole batch, by choosing which pixels to read: no loop over images.

The draws come from a CPU generator whatever the device, so the same seed gives the same pictures everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Shift by up to `shift` of the side (black moves in) and mirror half of the images if `flip`.

    >>> x = torch.arange(4.0).reshape(1, 1, 1, 4)
    >>> torch.equal(Augment(shift=0.0, flip=False)(x, torch.Generator()), x)
    True
    """

    shift: float
    flip: bool

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Return (n, C, H, W) images of the same range, each moved by its own draw from `generator`."""
        if x.ndim == 2 and not self.shift and not self.flip:
            return x
        n, _, height, width = x.shape
        reach = [round(self.shift * height), round(self.shift * width)]
        down, right = (torch.randint(-most, most + 1, (n,), generator=generator) for most in reach)
        mirror = torch.randint(0, 1 + self.flip, (n,), generator=generator).bool()
        return moved(x, down, right, mirror) if any(reach) or self.flip else x


def moved(x: Tensor, down: Tensor, right: Tensor, mirror: Tensor) -> Tensor:
    """Mirror the images left to right where `mirror`, then shift them by `down` and `right` pixels, each (n,).

    >>> x = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 1, 1, 3)
    >>> moved(x, torch.tensor([0]), torch.tensor([1]), torch.tensor([True])).flatten().tolist()
    [0.0, 3.0, 2.0]
    """
    n, channels, height, width = x.shape
    margin = int(max(down.abs().max(), right.abs().max()))
    rows = torch.arange(height) - down[:, None] + margin
    columns = torch.arange(width) - right[:, None]
    columns = torch.where(mirror[:, None], width - 1 - columns, columns) + margin
    padded = F.pad(x, [margin] * 4)
    wide = padded.shape[3]
    chosen = (rows[:, :, None] * wide + columns[:, None, :]).reshape(n, 1, height * width).to(x.device)
    return padded.flatten(2).gather(2, chosen.expand(-1, channels, -1)).reshape(x.shape)


AUGMENTS: Mapping[str, Augment] = {
    "none": Augment(shift=0.0, flip=False),
    "flip": Augment(shift=0.0, flip=True),
    "shift": Augment(shift=1 / 8, flip=False),
    "crop-flip": Augment(shift=1 / 8, flip=True),
}
"""Name -> augmentation.

"crop-flip" is the usual one for CIFAR (4 of 32 pixels); "shift" is for digits and clothes, which must not be mirrored.
"""
