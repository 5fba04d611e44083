"""What an attacker may do to an image: move it within a ball of radius eps, and stay in [0,1].

A threat knows its own size, projection, steepest step and random draws; nothing else in the attacks asks which norm it
is. To add a norm, write a class here and enter it in `THREATS`: PGD, noise, transfer and torchattacks' own attacks take
it at once, and so do curves and tiers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustprune.attacks.contract.l1 import nearest, sparse_step
from robustprune.errors import InputError
from robustprune.results.records import threat_name

Norm = str
"""The name of a norm, a key of `THREATS`."""

Draw = NDArray[np.floating[Any]]
"""One sample's random numbers, (dimensions,)."""

BUDGET_TOLERANCE = 1e-6
"""A perturbation of norm eps + 1e-6 still counts as inside the budget: float32 cannot do better on [0,1]."""


@dataclass(frozen=True)
class Threat(ABC):
    """A ball of radius `eps` around every image, in units of [0,1] pixels; an infinite eps leaves the box alone."""

    eps: float

    norm: ClassVar[Norm]
    """Its name."""
    usual: ClassVar[float]
    """The radius where none is given, a usual one for CIFAR-10."""

    def __post_init__(self) -> None:
        if not self.eps >= 0:
            raise InputError(f"{self.norm}(eps={self.eps}): expected 0 <= eps in [0,1] pixel units")

    @property
    def name(self) -> str:
        """What tables call it, such as 'Linf 8/255'."""
        return threat_name(self.norm, self.eps)

    @property
    def limit(self) -> float:
        """The largest size that still counts as inside."""
        return self.eps + BUDGET_TOLERANCE

    @abstractmethod
    def size(self, delta: Tensor) -> Tensor:
        """Return (m,) the norm of every row of `delta` (m, ...)."""

    @abstractmethod
    def dual(self, grad: Tensor) -> Tensor:
        """Return (m,) how much a loss with gradient `grad` (m, ...) rises along a step of size 1, box aside.

        That is the dual norm. A linear loss of value -v and gradient g reaches zero at the distance v / dual(g).
        """

    @abstractmethod
    def project(self, adv: Tensor, x: Tensor, radius: Tensor | None = None) -> Tensor:
        """Return `adv` (m, ...) moved into the ball around `x`, or that of `radius` (m,) a row, and cut to [0,1]."""

    @abstractmethod
    def steepest(self, grad: Tensor, adv: Tensor) -> Tensor:
        """Return the step of size 1 in this norm from `adv` along which a loss with gradient `grad` rises fastest.

        All are (m, ...). A row without a gradient gets no step.
        """

    @abstractmethod
    def within(self, generator: np.random.Generator, dimensions: int) -> Draw:
        """Return a random point of the ball of radius 1."""

    @abstractmethod
    def surface(self, generator: np.random.Generator, dimensions: int) -> Draw:
        """Return a random perturbation that makes full use of a budget of 1."""

    def inside(self, adv: Tensor, x: Tensor) -> Tensor:
        """Return (m, bool) where `adv` is finite, within [0,1] and, up to rounding, within the ball around `x`.

        >>> x = torch.full((3, 1, 1, 1), 0.5)
        >>> Linf(eps=0.1).inside(x + torch.tensor([0.1, 0.2, 0.6]).view(3, 1, 1, 1), x).tolist()
        [True, False, False]
        """
        flat = adv.flatten(1)
        valid = (flat >= 0).all(1) & (flat <= 1).all(1)
        return valid & (self.size(adv - x) <= self.limit)

    def start(self, x: Tensor, generators: Sequence[np.random.Generator]) -> Tensor:
        """Return a random point of the ball around every image of `x` (m, ...), cut to [0,1]."""
        return (x + stacked([self.within(g, x[0].numel()) for g in generators], x) * self.eps).clamp(0, 1)

    def noise(self, like: Tensor, generators: Sequence[np.random.Generator]) -> Tensor:
        """Return a random perturbation of full size a sample, in the shape of `like` (m, ...)."""
        return stacked([self.surface(g, like[0].numel()) for g in generators], like) * self.eps


@dataclass(frozen=True)
class Linf(Threat):
    """Every pixel value may change by eps."""

    norm = "Linf"
    usual = 8 / 255

    def size(self, delta: Tensor) -> Tensor:
        """Return (m,) the largest change."""
        return delta.flatten(1).abs().amax(1)

    def dual(self, grad: Tensor) -> Tensor:
        """Return (m,) the sums of the absolute values."""
        return grad.flatten(1).abs().sum(1)

    def project(self, adv: Tensor, x: Tensor, radius: Tensor | None = None) -> Tensor:
        """Return the nearest point of the cube and the box."""
        delta = adv - x
        if radius is None:
            return delta.clamp_(-self.eps, self.eps).add_(x).clamp_(0, 1)
        bound = rows(radius, x)
        return delta.clamp_(-bound, bound).add_(x).clamp_(0, 1)

    def steepest(self, grad: Tensor, adv: Tensor) -> Tensor:
        """Return the signs of the gradient."""
        return grad.sign()

    def within(self, generator: np.random.Generator, dimensions: int) -> Draw:
        """Return a uniform point of the cube."""
        return 2 * generator.random(dimensions, dtype=np.float32) - 1

    def surface(self, generator: np.random.Generator, dimensions: int) -> Draw:
        """Return a uniform point of the cube: in many dimensions one coordinate is always near its surface."""
        return self.within(generator, dimensions)


@dataclass(frozen=True)
class L2(Threat):
    """The Euclidean length of the change is at most eps."""

    norm = "L2"
    usual = 0.5

    def size(self, delta: Tensor) -> Tensor:
        """Return (m,) the Euclidean lengths."""
        return torch.as_tensor(delta.flatten(1).norm(dim=1))

    def dual(self, grad: Tensor) -> Tensor:
        """Return (m,) the Euclidean lengths."""
        return self.size(grad)

    def project(self, adv: Tensor, x: Tensor, radius: Tensor | None = None) -> Tensor:
        """Return the nearest point of the ball, cut to [0,1].

        Cutting moves every pixel towards `x`, which lies in the box, so the result stays in the ball.

        >>> L2(eps=0.5).project(torch.tensor([[3.0, -4.0]]), torch.zeros(1, 2))
        tensor([[0.3000, 0.0000]])
        """
        delta = adv - x
        factor = ((self.eps if radius is None else radius) / self.size(delta).clamp(min=1e-12)).clamp(max=1)
        return (x + delta * rows(factor, delta)).clamp_(0, 1)

    def steepest(self, grad: Tensor, adv: Tensor) -> Tensor:
        """Return the gradient, scaled to length 1 (torchattacks' formula)."""
        return grad / rows(self.size(grad) + 1e-10, grad)

    def within(self, generator: np.random.Generator, dimensions: int) -> Draw:
        """Return a vector in a random direction whose length is uniform in [0,1], as torchattacks draws it."""
        draw = generator.standard_normal(dimensions, dtype=np.float32)
        return draw * np.float32(generator.random() / max(float(np.linalg.norm(draw)), 1e-12))

    def surface(self, generator: np.random.Generator, dimensions: int) -> Draw:
        """Return a random direction."""
        draw = generator.standard_normal(dimensions, dtype=np.float32)
        return np.asarray(draw / np.linalg.norm(draw, axis=0))


@dataclass(frozen=True)
class L1(Threat):
    """The changes of all pixel values add up to at most eps."""

    norm = "L1"
    usual = 12.0

    SPARSITY: ClassVar[float] = 0.01
    """Share of the pixel values that one step changes (Tramer & Boneh 2019, arXiv 1904.13000)."""

    @property
    def limit(self) -> float:
        """The largest size that still counts as inside: rounding adds up over the pixels, so a share of 1e-5 more."""
        return self.eps + max(BUDGET_TOLERANCE, 1e-5 * self.eps)

    def size(self, delta: Tensor) -> Tensor:
        """Return (m,) the sums of the changes."""
        return delta.flatten(1).abs().sum(1)

    def dual(self, grad: Tensor) -> Tensor:
        """Return (m,) the largest absolute values."""
        return grad.flatten(1).abs().amax(1)

    def project(self, adv: Tensor, x: Tensor, radius: Tensor | None = None) -> Tensor:
        """Return the nearest point of ball and box together."""
        return nearest(adv, x, self.eps if radius is None else radius[:, None])

    def steepest(self, grad: Tensor, adv: Tensor) -> Tensor:
        """Return a sparse step: the largest gradients share it, 1 % of the pixel values or at least one."""
        return sparse_step(grad, adv, self.SPARSITY)

    def within(self, generator: np.random.Generator, dimensions: int) -> Draw:
        """Return a uniform point of the ball, by exponential spacings with random signs."""
        draw = generator.laplace(size=dimensions)
        return np.asarray(draw / (np.abs(draw).sum() + generator.exponential()))

    def surface(self, generator: np.random.Generator, dimensions: int) -> Draw:
        """Return a uniform point of the ball's surface."""
        draw = generator.laplace(size=dimensions)
        return np.asarray(draw / np.abs(draw).sum())


THREATS: dict[Norm, type[Threat]] = {kind.norm: kind for kind in (Linf, L2, L1)}
"""Norm -> the threat under it."""


def threat(norm: Norm, eps: float) -> Threat:
    """Return the threat of that norm and size. Raises InputError for a norm that is not in `THREATS`.

    >>> threat("L2", 0.5)
    L2(eps=0.5)
    """
    return kind_of(norm)(eps=eps)


def kind_of(norm: Norm) -> type[Threat]:
    """Return the class of threats of that norm. Raises InputError for a norm that is not in `THREATS`."""
    if norm not in THREATS:
        raise InputError(f"norm {norm!r}: expected one of {', '.join(THREATS)}")
    return THREATS[norm]


def stacked(draws: Sequence[Draw], like: Tensor) -> Tensor:
    """Return one draw a sample as a tensor of the shape, kind and place of `like` (m, ...)."""
    return torch.from_numpy(np.stack(draws)).to(like.dtype).to(like.device).view_as(like)


def rows(values: Tensor, like: Tensor) -> Tensor:
    """Reshape one value a row (m,) so that it broadcasts over `like` (m, ...).

    >>> rows(torch.ones(2), torch.ones(2, 3, 4, 4)).shape
    torch.Size([2, 1, 1, 1])
    """
    return values.view(-1, *[1] * (like.ndim - 1))
