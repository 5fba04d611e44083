"""Attacks that draw perturbations at random, without looking at the network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from robustprune.attacks.contract.attack import Unguided, at_least_one


@dataclass(frozen=True, kw_only=True)
class DrawnAttack(Unguided):
    """An attack of `draws` perturbations; a sample is broken by the first that the original model gets wrong."""

    draws: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "draws")

    @abstractmethod
    def perturbation(self, like: Tensor, sources: Sequence[np.random.Generator]) -> Tensor:
        """Return one perturbation a sample, in the shape of `like` (m, ...), each from its own generator."""
