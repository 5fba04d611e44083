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
from dataclasses import dataclass

import torch
import torchattacks
from torch import Tensor, nn

from robustprune.attacks.contract.attack import FORWARD, Knowledge, Objective, at_least_one
from robustprune.attacks.contract.library import LibraryAttack, TorchAttacks
from robustprune.errors import InputError

SMALLEST = {"Linf": 3, "L2": 5}
"""Norm -> fewest pixels in height and width."""


@dataclass(frozen=True, kw_only=True)
class Square(LibraryAttack):
    """Square: a random search that sees logits alone, so it does not care whether gradients are masked.

    >>> Square(eps=8/255).name, Square(eps=8/255, queries=100).name
    ('Square', 'Square-100')
    """

    queries: int = 5000
    restarts: int = 1
    p: float = 0.8
    """Share of the pixels that the first squares cover."""

    norms = ("Linf", "L2")

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "queries", "restarts")
        if not 0 < self.p < 1:
            raise InputError(f"Square(p={self.p}): expected a share of the image between 0 and 1")

    @property
    def title(self) -> str:
        """The budget is part of the name where it is not the published one."""
        return "Square" + (f"-{self.queries}" if self.queries != 5000 else "")

    @property
    def knowledge(self) -> Knowledge:
        """Logits, by asking."""
        return "logits by query"

    @property
    def objective(self) -> Objective:
        """A difference of logits."""
        return "margin"

    @property
    def budget(self) -> dict[str, int]:
        """Queries of a run, and runs."""
        return {"queries": self.queries, "restarts": self.restarts}

    @property
    def effort(self) -> float:
        """Forward passes alone."""
        return self.restarts * self.queries * FORWARD

    def make(self, model: nn.Module, seed: int) -> TorchAttacks:
        """Return a fresh attack object."""
        return SquareSearch(
            model,
            norm=self.norm,
            eps=self.eps,
            n_queries=self.queries,
            n_restarts=self.restarts,
            p_init=self.p,
            resc_schedule=False,
            seed=seed,
        )


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
