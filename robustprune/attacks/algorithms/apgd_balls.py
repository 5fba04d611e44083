"""Threats in the formulae of APGD's public code, which round otherwise than ours.

With them its iterates can be compared with the public ones, and every run starts on the surface of the ball.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from robustprune.attacks.algorithms.dlr import TINY
from robustprune.attacks.contract.threat import L2, Draw, Linf, Threat, rows, stacked


class Ball(Threat, ABC):
    """A threat whose runs start on its surface."""

    @abstractmethod
    def draw(self, generator: np.random.Generator, dimensions: int) -> Draw:
        """Return a random direction, of any length."""

    def start(self, x: Tensor, generators: Sequence[np.random.Generator]) -> Tensor:
        """Return a random point on the surface of the ball around every image of `x` (m, ...), cut to [0,1]."""
        noise = stacked([self.draw(g, x[0].numel()) for g in generators], x)
        return (x + self.eps * (noise / rows(self.size(noise), noise))).clamp(0, 1)


@dataclass(frozen=True)
class Cube(Linf, Ball):
    """The ball under Linf."""

    def draw(self, generator: np.random.Generator, dimensions: int) -> Draw:
        """Return a uniform point of the cube."""
        return generator.uniform(-1, 1, dimensions)

    def project(self, adv: Tensor, x: Tensor, radius: Tensor | None = None) -> Tensor:
        """Return the nearest point of the cube around `x`, cut to [0,1]."""
        reach = self.eps if radius is None else rows(radius, x)
        return adv.clamp(x - reach, x + reach).clamp_(0, 1)


@dataclass(frozen=True)
class Sphere(L2, Ball):
    """The ball under L2."""

    def draw(self, generator: np.random.Generator, dimensions: int) -> Draw:
        """Return a Gaussian vector."""
        return generator.standard_normal(dimensions)

    def project(self, adv: Tensor, x: Tensor, radius: Tensor | None = None) -> Tensor:
        """Return the nearest point of the ball around `x`, cut to [0,1]."""
        delta = adv - x
        length, reach = rows(self.size(delta), delta), self.eps if radius is None else rows(radius, x)
        return (x + delta / (length + TINY) * length.clamp(max=reach)).clamp(0, 1)

    def steepest(self, grad: Tensor, adv: Tensor) -> Tensor:
        """Return the gradient, scaled to length 1."""
        return grad / (rows(self.size(grad), grad) + TINY)


BALLS: dict[str, type[Ball]] = {"Linf": Cube, "L2": Sphere}
"""Norm -> the ball under it."""
