"""Attacks that aim at several wrong classes, one a run, and the order they are aimed at in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from robustprune.attacks.contract.attack import at_least_one
from robustprune.attacks.contract.state import State
from robustprune.attacks.contract.stepped import SteppedAttack
from robustprune.errors import InputError

TARGETS = 9
"""Target classes of the published AutoAttack."""


@dataclass(frozen=True, kw_only=True)
class TargetedAttack(SteppedAttack):
    """An attack with `steps` steps towards each of `targets` wrong classes of a network with `n_classes`.

    `targets` None: nine, or all wrong classes where there are fewer. `eot` gradients are averaged at every step.
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

    def aims(self, model: nn.Module) -> Aims:
        """Return the classes aimed at on `model`, the likeliest first."""
        return Aims(lambda x, y: likeliest_classes(model, x, y, self.targeted_classes))


@dataclass
class Aims:
    """The classes that each sample is aimed at: `rank` of images (m, ...) and true classes (m,) returns them (m, k).

    It may ask the network, so it is asked once a sample.
    """

    rank: Callable[[Tensor, Tensor], Tensor]
    known: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    """(key of a sample's content, its class) -> the classes to aim at, in this order."""

    def target(self, state: State, keys: Tensor, place: Tensor) -> Tensor:
        """Return the class (m,) at `place` (m,) of each sample's order; after the last comes the first again."""
        samples = list(zip(keys.tolist(), state["y"].tolist(), strict=True))
        new = [row for row, sample in enumerate(samples) if sample not in self.known]
        if new:
            order = self.rank(state["x"][new], state["y"][new])
            self.known.update(zip([samples[row] for row in new], order.tolist(), strict=True))
        orders = [self.known[sample] for sample in samples]
        target = [order[at % len(order)] for order, at in zip(orders, place.tolist(), strict=True)]
        return torch.tensor(target, device=state["y"].device)


@torch.no_grad()
def likeliest_classes(model: nn.Module, x: Tensor, y: Tensor, targets: int) -> Tensor:
    """Return (m, targets) the wrong classes of largest logit on `x` (m, ...), in falling order.

    Raises InputError where there are fewer.
    """
    logits: Tensor = model(x)
    if targets >= logits.shape[1]:
        raise InputError(
            f"{targets} target classes on a network with {logits.shape[1]} classes: "
            "give the attack its number of classes as n_classes"
        )
    return likeliest(logits, y, targets)


def likeliest(logits: Tensor, y: Tensor, count: int) -> Tensor:
    """Return (m, count) the wrong classes with the largest logits, or all, the likeliest first.

    Where logits are equal the later class is first, as in the public code.

    >>> likeliest(torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([1]), 9)
    tensor([[2, 0]])
    """
    order = logits.argsort(dim=1, stable=True).flip(1)
    return order[order != y[:, None]].view(len(y), -1)[:, :count]
