"""Random noise: the attack that any real one must beat (check 18)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robustprune.attacks.base import Attack, Found
from robustprune.attacks.distance import generators, keys, norms
from robustprune.attacks.target import Target
from robustprune.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Noise(Attack):
    """`draws` random perturbations: uniform in the cube under Linf, in a random direction of length eps
    under L2.

    A sample is broken by the first draw that the original model gets wrong.

    >>> Noise(eps=8/255, draws=10).name
    'noise x10'
    """

    draws: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.draws < 1:
            raise InputError(f"Noise(draws={self.draws}): expected at least 1")

    @property
    def title(self) -> str:
        """The number of draws."""
        return f"noise x{self.draws}"

    @property
    def alone(self) -> bool:
        """It stands outside the chain: a control says nothing about what an attack before it has left."""
        return True

    @property
    def effort(self) -> float:
        """Forward passes only, each about half of a pass forward and backward."""
        return self.draws / 2

    def run(self, target: Target, x: Tensor, y: Tensor, seed: int) -> Found:
        """Draw batch by batch; see `Attack.run`."""
        found = Found.nothing(x, target.keep)
        start = 0
        while start < len(x):
            row = torch.arange(start, min(start + target.batch_size, len(x)))
            try:
                self._batch(target, x, y, row, seed, found)
            except Exception as error:
                if target.shrink(error):
                    continue
                found.fail(row, error)
            start += len(row)
            target.tick(len(row))
        return found

    def _batch(self, target: Target, x: Tensor, y: Tensor, row: Tensor, seed: int, found: Found) -> None:
        """Draw for the samples `row` until they are broken or the draws are used up."""
        key = keys(x[row])
        for draw in range(self.draws):
            clean = x[row].to(target.device)
            noise = self.noise(clean, generators(seed, key, torch.full_like(key, draw)))
            adv = (clean + noise).clamp(0, 1)
            wrong = target.wrong(adv, y[row].to(target.device))
            found.put(
                row,
                torch.where(wrong.view(-1, 1, 1, 1), adv, clean),
                wrong,
                norms(adv - clean, self.norm),
                wrong * 0 + draw + 1,
            )
            row, key = row[~wrong.cpu()], key[~wrong.cpu()]
            if not len(row):
                return

    def noise(self, like: Tensor, sources: list[np.random.Generator]) -> Tensor:
        """Return one draw a sample, in the shape of `like` (m, ...)."""
        size = like[0].numel()
        if self.norm == "Linf":
            draw = np.stack([g.random(size, dtype=np.float32) for g in sources]) * 2 - 1
        else:
            draw = np.stack([g.standard_normal(size, dtype=np.float32) for g in sources])
            draw = draw / np.linalg.norm(draw, axis=1, keepdims=True)
        return torch.from_numpy(draw * np.float32(self.eps)).to(like.device).view_as(like)
