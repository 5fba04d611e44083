"""Square (Andriushchenko et al. 2020, arXiv 1912.00049) on torchattacks' class, with randomness of its own.

Its loop equals the public one; what departs is around it. torchattacks rescales the schedule of the square's
size to the number of queries, which AutoAttack does not. It draws starts and signs for the whole batch, so
outcomes depend on the batch size; here one sequence of draws, made from the seed alone, serves every image:
each is attacked as it would be in a batch of its own. Public code and torchattacks never put a square into
the last row and column, which the paper does (Algorithm 2) and images of 8 x 8 pixels cannot do without: here
it is as in the paper. Images must be at least 3 pixels (Linf) or 5 pixels (L2) high and wide.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torchattacks
from torch import Tensor

from robustprune.errors import InputError

SMALLEST = {"Linf": 3, "L2": 5}


class SquareSearch(torchattacks.Square):
    """torchattacks' Square whose draws depend on neither the batch nor the global generator."""

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Attack a batch (m, C, H, W) by queries alone; rows that were not broken come back clean."""
        side = min(images.shape[-2:])
        if side < SMALLEST[self.norm]:
            raise InputError(
                f"Square under {self.norm}: images {side} pixels wide; expected {SMALLEST[self.norm]} or more"
            )
        self._draws = torch.Generator().manual_seed(self.seed)
        self._patterns: dict[int, Tensor] = {}
        with torch.no_grad():
            return torch.as_tensor(self.perturb(images.detach().contiguous(), labels)).detach()

    def random_choice(self, shape: Sequence[int]) -> Tensor:
        """Return signs of `shape`; a leading batch dimension gets the same signs for every sample."""
        wanted = list(shape)
        drawn = [1, *wanted[1:]] if len(wanted) == 4 else wanted
        signs = torch.randint(0, 2, drawn, generator=self._draws) * 2.0 - 1
        return signs.expand(wanted).to(self.device)

    def random_int(self, low: int = 0, high: int = 1, shape: Sequence[int] = (1,)) -> Tensor:
        """Return whole numbers from `low` to `high`, both included (the places of a square, Algorithm 2)."""
        return torch.randint(low, max(high, low) + 1, list(shape), generator=self._draws)

    def eta(self, s: int) -> Tensor:
        """Return the L2 pattern of side `s`, upright or lying with equal chance."""
        if s not in self._patterns:
            upper, lower = self.eta_rectangles(s // 2, s), self.eta_rectangles(s - s // 2, s)
            pattern = torch.cat((upper, -lower))
            self._patterns[s] = pattern / pattern.norm()
        lying = bool(torch.randint(0, 2, (1,), generator=self._draws))
        return self._patterns[s].T if lying else self._patterns[s]
