"""The parts of AutoAttack (Croce & Hein 2020, arXiv 2003.01690) with the published budgets.

`autoattack_standard` is the published set and may bear that name: APGD-CE with 100 iterations, APGD-T and
FAB-T with 100 for each of the nine likeliest wrong classes, Square with 5000 queries, one restart each, in
this order, each on the survivors of those before. torchattacks' own `AutoAttack` runs 10 iterations, attacks
clean errors and seeds by time.

Few classes: FAB-T and APGD-T aim at all wrong classes where there are fewer than nine. The DLR loss needs
three classes and the targeted one four, so below four classes there is no published set;
`autoattack_standard` refuses, and the 'standard' tier takes what exists (tiers.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from robustprune.attacks.adapter import LibraryAttack, TorchAttacks
from robustprune.attacks.apgd import AutoPGD, TargetedAutoPGD
from robustprune.attacks.base import Attack, Norm
from robustprune.attacks.fab import TargetedFAB
from robustprune.attacks.square import SquareSearch
from robustprune.errors import InputError

TARGETS = 9
"""Target classes of the published set."""
FORWARD = 1 / 3
"""What a forward pass costs beside a forward-and-backward one."""


@dataclass(frozen=True, kw_only=True)
class APGD(LibraryAttack):
    """Auto-PGD: its step size adapts itself. `loss` is 'ce' or 'dlr' (three classes or more).

    `eot` gradients are averaged at every step, which a network with random parts needs (20 in the published
    set for such networks).

    >>> APGD(eps=8/255).name, APGD(eps=8/255, loss="dlr", restarts=5).name
    ('APGD-CE', 'APGD-DLR x5')
    """

    steps: int = 100
    loss: Literal["ce", "dlr"] = "ce"
    restarts: int = 1
    eot: int = 1
    rho: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least_one(self, "steps", "restarts", "eot")
        if self.loss not in ("ce", "dlr"):
            raise InputError(f"APGD(loss={self.loss!r}): expected 'ce' or 'dlr'")

    @property
    def title(self) -> str:
        """The loss is part of the name."""
        return f"APGD-{self.loss.upper()}" + (f" x{self.restarts}" if self.restarts > 1 else "")

    @property
    def effort(self) -> float:
        """Gradient steps, the start included, for every restart."""
        return float(self.restarts * self.eot * (self.steps + 1))

    def make(self, model: nn.Module, seed: int) -> TorchAttacks:
        """Return a fresh attack object."""
        return AutoPGD(
            model,
            norm=self.norm,
            eps=self.eps,
            steps=self.steps,
            n_restarts=self.restarts,
            seed=seed,
            loss=self.loss,
            eot_iter=self.eot,
            rho=self.rho,
        )


@dataclass(frozen=True, kw_only=True)
class APGDT(LibraryAttack):
    """Auto-PGD on the targeted DLR loss, towards the likeliest wrong classes of each image in turn.

    `targets` None: nine, or all wrong classes where there are fewer (`n_classes` - 1). Needs four classes.

    >>> APGDT(eps=8/255).name, APGDT(eps=8/255).effort, APGDT(eps=8/255, n_classes=5).targeted_classes
    ('APGD-T', 909.0, 4)
    """

    n_classes: int = 10
    steps: int = 100
    targets: int | None = None
    restarts: int = 1
    rho: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least_one(self, "steps", "restarts")
        if self.n_classes < 4:
            raise InputError(
                f"APGDT(n_classes={self.n_classes}): the targeted DLR loss needs 4 classes; "
                "APGD(loss='dlr') needs 3, APGD(loss='ce') 2"
            )
        _check_targets(self, self.targets, self.n_classes)

    @property
    def targeted_classes(self) -> int:
        """How many wrong classes are aimed at."""
        return _targets(self.targets, self.n_classes)

    @property
    def title(self) -> str:
        """As the field calls it."""
        return "APGD-T" + (f" x{self.restarts}" if self.restarts > 1 else "")

    @property
    def effort(self) -> float:
        """Gradient steps, the start included, for every class."""
        return float(self.targeted_classes * self.restarts * (self.steps + 1))

    def make(self, model: nn.Module, seed: int) -> TorchAttacks:
        """Return a fresh attack object."""
        return TargetedAutoPGD(
            model,
            norm=self.norm,
            eps=self.eps,
            steps=self.steps,
            n_restarts=self.restarts,
            seed=seed,
            rho=self.rho,
            n_classes=self.targeted_classes + 1,
        )


@dataclass(frozen=True, kw_only=True)
class FABT(LibraryAttack):
    """FAB towards the likeliest wrong classes in turn: looks for the nearest crossing, eps only decides what
    counts.

    `targets` None: nine, or all wrong classes where there are fewer. Works from two classes on.

    >>> FABT(eps=8/255).name, FABT(eps=8/255, n_classes=2).targeted_classes
    ('FAB-T', 1)
    """

    n_classes: int = 10
    steps: int = 100
    targets: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least_one(self, "steps")
        _check_targets(self, self.targets, self.n_classes)

    @property
    def targeted_classes(self) -> int:
        """How many wrong classes are aimed at."""
        return _targets(self.targets, self.n_classes)

    @property
    def title(self) -> str:
        """As the field calls it."""
        return "FAB-T"

    @property
    def effort(self) -> float:
        """Each step takes a gradient and one more prediction."""
        return self.targeted_classes * self.steps * (1 + FORWARD)

    def make(self, model: nn.Module, seed: int) -> TorchAttacks:
        """Return a fresh attack object."""
        return TargetedFAB(
            model,
            norm=self.norm,
            eps=self.eps,
            steps=self.steps,
            seed=seed,
            multi_targeted=True,
            n_classes=self.targeted_classes + 1,
        )


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

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least_one(self, "queries", "restarts")
        if not 0 < self.p < 1:
            raise InputError(f"Square(p={self.p}): expected a share of the image between 0 and 1")

    @property
    def title(self) -> str:
        """The budget is part of the name where it is not the published one."""
        return "Square" + (f"-{self.queries}" if self.queries != 5000 else "")

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


def autoattack_standard(norm: Norm, eps: float, n_classes: int = 10) -> tuple[Attack, ...]:
    """Return the published standard set for `n_classes` classes, cheapest first; InputError below four
    classes.

    >>> [attack.name for attack in autoattack_standard("Linf", 8/255, 10)]
    ['APGD-CE', 'APGD-T', 'FAB-T', 'Square']
    """
    return (
        APGD(norm=norm, eps=eps),
        APGDT(norm=norm, eps=eps, n_classes=n_classes),
        FABT(norm=norm, eps=eps, n_classes=n_classes),
        Square(norm=norm, eps=eps),
    )


def _targets(targets: int | None, n_classes: int) -> int:
    return min(TARGETS, n_classes - 1) if targets is None else targets


def _check_targets(attack: Attack, targets: int | None, n_classes: int) -> None:
    if n_classes < 2 or not 1 <= _targets(targets, n_classes) < n_classes:
        raise InputError(
            f"{type(attack).__name__}(n_classes={n_classes}, targets={targets}): "
            f"expected 2 classes or more and 1 to {max(n_classes - 1, 1)} targets"
        )


def _at_least_one(attack: Attack, *names: str) -> None:
    for name in names:
        if getattr(attack, name) < 1:
            raise InputError(f"{type(attack).__name__}({name}={getattr(attack, name)}): expected 1 or more")
