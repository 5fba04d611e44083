"""Attacks that aim at several wrong classes in turn, the likeliest first."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from robustprune.attacks.contract.attack import at_least_one
from robustprune.attacks.contract.library import LibraryAttack
from robustprune.errors import InputError

TARGETS = 9
"""Target classes of the published AutoAttack."""


@dataclass(frozen=True, kw_only=True)
class TargetedAttack(LibraryAttack):
    """An attack with `steps` steps towards each of `targets` wrong classes of a network with `n_classes`.

    `targets` None: nine, or all wrong classes where there are fewer.
    """

    n_classes: int = 10
    steps: int = 100
    targets: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_one(self, "steps")
        if self.n_classes < 2 or not 1 <= self.targeted_classes < self.n_classes:
            raise InputError(
                f"{type(self).__name__}(n_classes={self.n_classes}, targets={self.targets}): "
                f"expected 2 classes or more and 1 to {max(self.n_classes - 1, 1)} targets"
            )

    @property
    def targeted_classes(self) -> int:
        """How many wrong classes are aimed at."""
        return min(TARGETS, self.n_classes - 1) if self.targets is None else self.targets


def check_targets(targets: int, logits: Tensor) -> None:
    """Raise InputError unless the logits (m, k) have `targets` wrong classes."""
    if targets >= logits.shape[1]:
        raise InputError(
            f"{targets} target classes on a network with {logits.shape[1]} classes: "
            "give the attack its number of classes as n_classes"
        )
