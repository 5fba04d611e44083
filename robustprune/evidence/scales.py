"""What the checks know about each norm: one entry a norm, and the only place where they ask for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The sizes that are usual under one norm, and its geometry."""

    unit: float
    """What the sweep over eps (check 13) counts in, in [0,1] pixel units."""
    label: str
    """How that unit is written behind "eps in"."""
    largest: float
    """Largest eps of the attack unit test (check 20): the box [0,1] plays no part up to there."""
    dual: Callable[[Tensor], Tensor]
    """The dual norm of a vector (d,): how far a step of length 1 moves it at most."""
    steepest: Callable[[Tensor], Tensor]
    """The step (d,) of length 1 that moves furthest along a vector (d,) whose dual norm is 1."""
    per_pixel: Callable[[float, int], float]
    """How much each of d pixels may change if all change alike, within eps."""


def largest_entry(u: Tensor) -> Tensor:
    """Return the sign of the largest entry (in size) at its place, and zeros.

    >>> largest_entry(torch.tensor([0.5, -1.0, 0.2])).tolist()
    [0.0, -1.0, 0.0]
    """
    step = torch.zeros_like(u)
    place = u.abs().argmax()
    step[place] = u[place].sign()
    return step


SCALES: dict[str, Scale] = {
    "Linf": Scale(
        unit=1 / 255,
        label="/255",
        largest=0.1,
        dual=lambda u: u.abs().sum(),
        steepest=torch.sign,
        per_pixel=lambda eps, d: eps,
    ),
    "L2": Scale(
        unit=1 / 8,
        label="/8",
        largest=0.5,
        dual=lambda u: u.norm(),
        steepest=lambda u: u,
        per_pixel=lambda eps, d: eps / d**0.5,
    ),
    "L1": Scale(
        unit=1.0,
        label="whole pixels",
        largest=0.2,
        dual=lambda u: u.abs().amax(),
        steepest=largest_entry,
        per_pixel=lambda eps, d: eps / d,
    ),
}
