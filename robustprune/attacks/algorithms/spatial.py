"""Rotations and shifts on a grid (Engstrom et al. 2019, 1712.02779, "worst of the grid")."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn import functional

from robustprune.attacks.contract.threat import Norm
from robustprune.attacks.contract.transformed import Transform, TransformedAttack
from robustprune.typed import Rule

Degrees = Annotated[float, Rule(lambda value: 0 <= value <= 180, "0 to 180")]
BelowOne = Annotated[float, Rule(lambda value: 0 <= value < 1, "0 or more, below 1")]
Odd = Annotated[int, Rule(lambda value: value >= 1 and value % 2, "an odd number, so that 0 is among them")]


@dataclass(frozen=True, kw_only=True)
class RotateTranslate(TransformedAttack):
    """Every turn by up to `degrees` with every shift by up to a share `shift` of the sides, on a grid.

    `angles` and, across and down, `shifts` say how fine the grid is; it holds the image as it is, so that nothing can
    be more robust than it is right. What comes in from outside is black, or as `padding` says. The image is sampled
    bilinearly, once. The corners of the grid are tried first.

    >>> attack = RotateTranslate(degrees=30, shift=0.1)
    >>> attack.threat, attack.name, attack.count
    ('shift 10 %, rotation 30', 'grid 31 x 5 x 5', 775)
    """

    degrees: Degrees = 30.0
    shift: BelowOne = 0.1
    angles: Odd = 31
    shifts: Odd = 5
    padding: Literal["zeros", "border", "reflection"] = "zeros"

    @property
    def title(self) -> str:
        """The grid."""
        return f"grid {self.angles} x {self.shifts} x {self.shifts}"

    @property
    def allows(self) -> tuple[Norm, float]:
        """The shift stands in the name, the angle is the size; without turns the shift, in per cent."""
        percent = 100 * self.shift
        return (f"shift {percent:g} %, rotation", self.degrees) if self.degrees else ("shift of the sides, %", percent)

    @property
    def count(self) -> int:
        """All points of the grid."""
        turns, moves = self._lines
        return len(turns) * len(moves) ** 2

    def transforms(self, shape: Sequence[int]) -> list[Transform]:
        """The points of the grid, those that change most first."""
        turns, moves = self._lines
        ends = self.degrees or 1.0, self.shift or 1.0, self.shift or 1.0
        points = product(turns, moves, moves)
        far = sorted(points, key=lambda point: -sum(abs(part) / end for part, end in zip(point, ends, strict=True)))
        return [
            Transform(
                name=f"{angle:g} degrees, shift {100 * right:g} %, {100 * down:g} %",
                size=abs(angle) if self.degrees else 100 * max(abs(right), abs(down)),
                apply=partial(moved, angle, (right, down), self.padding),
            )
            for angle, right, down in far
        ]

    @property
    def _lines(self) -> tuple[list[float], list[float]]:
        """The angles and the shifts of the grid."""
        return _even(self.degrees, self.angles), _even(self.shift, self.shifts)


def moved(angle: float, shift: tuple[float, float], padding: str, x: Tensor, keys: Tensor, seed: int) -> Tensor:
    """Return the images `x` (m, C, H, W) turned about their centre, then shifted to the right and down.

    `angle` is in degrees, counter-clockwise; `shift` in shares of the sides.
    """
    if not angle and not any(shift):
        return x
    height, width = x.shape[2:]
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    right, down = shift[0] * width, shift[1] * height  # in pixels; the grid counts half sides
    theta = [
        [c, -s * height / width, -2 * (c * right - s * down) / width],
        [s * width / height, c, -2 * (s * right + c * down) / height],
    ]
    matrix = torch.tensor(theta, dtype=x.dtype).expand(len(x), 2, 3)
    grid = functional.affine_grid(matrix, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode=padding, align_corners=False)


def _even(end: float, count: int) -> list[float]:
    """Return so many evenly spaced numbers from -end to end; 0 alone where there is nothing to span."""
    return [0.0] if count == 1 or not end else [end * (2 * place / (count - 1) - 1) for place in range(count)]
