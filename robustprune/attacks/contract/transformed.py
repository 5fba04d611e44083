"""Attacks that transform an image as a whole: noise, blur, a turn. Their threat is a list of transforms, no ball.

What such a threat allows has a size in a unit of its own, severity or degrees, which stands as `eps` behind the name of
the threat as `norm`. No gradient leads from one transform to the next, so all of them are tried.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from robustprune.attacks.contract.attack import FORWARD, Knowledge, Unguided
from robustprune.attacks.contract.found import Passes
from robustprune.attacks.contract.threat import Norm, Threat
from robustprune.errors import InputError
from robustprune.results.records import threat_name

Apply = Callable[[Tensor, Tensor, int], Tensor]
"""Changes images (m, C, H, W); what is random in it is drawn from their keys (m,) and a seed."""


@dataclass(frozen=True, kw_only=True)
class Transform:
    """One change to an image as a whole, and its size in the unit of the threat."""

    name: str
    size: float
    apply: Apply


@dataclass(frozen=True, kw_only=True)
class TransformedAttack(Unguided):
    """An attack that tries every transform of a list; a sample is broken by the first that the original gets wrong.

    It stands outside the chain of its threat: it sees all samples that are right.
    """

    eps: float = field(init=False)
    """The size of the largest transform, in the unit of the threat."""
    norm: Norm = field(init=False)
    """What the size is of."""

    norms: ClassVar[Collection[Norm]] = ()
    one_by_one: ClassVar[bool] = False
    """Whether all transforms are tried on all samples, so that each has an accuracy of its own."""

    def __post_init__(self) -> None:
        """Set `norm` and `eps` from what the subclass calls them."""
        norm, eps = self.allows
        object.__setattr__(self, "norm", norm)
        object.__setattr__(self, "eps", float(eps))
        super().__post_init__()

    def check_budget(self) -> None:
        """A threat that is no ball has its own fields, checked there."""

    @property
    @abstractmethod
    def allows(self) -> tuple[Norm, float]:
        """What the threat is called, and its size."""

    @abstractmethod
    def transforms(self, shape: Sequence[int]) -> Sequence[Transform]:
        """List what is tried on images of this shape (C, H, W), in order."""

    @property
    @abstractmethod
    def count(self) -> int:
        """How many transforms there are at most."""

    @property
    def in_a_ball(self) -> bool:
        """No."""
        return False

    @property
    def ball(self) -> Threat:
        """There is none: InputError."""
        raise InputError(f"attack {self.name!r}: {self.threat} is no ball around an image; expected one of a norm")

    @property
    def threat(self) -> str:
        """The threat's name, such as 'severity 3'."""
        return threat_name(self.norm, self.eps)

    @property
    def alone(self) -> bool:
        """It stands outside the chain."""
        return True

    @property
    def knowledge(self) -> Knowledge:
        """Nothing: the transforms are the same for every network."""
        return "none"

    @property
    def budget(self) -> dict[str, int]:
        """Transforms."""
        return {"transforms": self.count}

    @property
    def allowed(self) -> Passes:
        """A pass forward for each transform."""
        return Passes(forwards=self.count)

    @property
    def effort(self) -> float:
        """Forward passes only."""
        return self.count * FORWARD
