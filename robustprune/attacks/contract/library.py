"""Attacks that torchattacks carries out whole: what they declare."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from robustprune.attacks.contract.attack import Attack

TorchAttacks = Callable[[Tensor, Tensor], Tensor]
"""A torchattacks object: called with images (m, C, H, W) in [0,1] and labels (m,), it returns perturbed images."""


@dataclass(frozen=True, kw_only=True)
class LibraryAttack(Attack):
    """An attack that torchattacks carries out whole, on batches of samples that are still right."""

    @abstractmethod
    def make(self, model: nn.Module, seed: int) -> TorchAttacks:
        """Return a fresh torchattacks object for `model`, which takes images in [0,1] and returns logits."""
