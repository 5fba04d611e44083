"""An eps that fits a network: where it keeps about half of what it has right, by a short attack on few images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from robustprune.attacks import PGD, evaluate
from robustprune.data import Split
from robustprune.errors import InputError

IMAGES = 64
STEPS = 10
LEVELS = (0.125, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""What is tried, under Linf, in units of 1/255."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What was measured: of `images` the network has `right` right, and under PGD-10 at each level (1/255) as `kept`.

    `seconds` is what one pass of one image took.
    """

    images: int
    right: int
    kept: dict[float, int]
    seconds: float

    @property
    def level(self) -> float:
        """The level at which what is kept is nearest to half, in units of 1/255; of two the smaller.

        >>> Sweep(images=9, right=8, kept={1: 7, 2: 5, 4: 3}, seconds=0.0).level
        2
        """
        return min(sorted(self.kept), key=lambda level: abs(2 * self.kept[level] - self.right))

    def __str__(self) -> str:
        """Say it in a sentence."""
        found = ", ".join(f"{self.kept[level]} at {level:g}/255" for level in sorted(self.kept))
        return f"Of {self.images} test images the parent has {self.right} right, and under PGD-{STEPS} {found}."


def swept(net: nn.Module, test: Split, given: float | None, say: Callable[[str], None]) -> Sweep:
    """Look for the level by halving, or measure the `given` one alone. InputError where the network is never right."""
    few = test.balanced(min(IMAGES, len(test)), seed=0)
    kept = dict[float, int]()
    right, began = 0, time.perf_counter()

    def at(level: float) -> int:
        nonlocal right
        found = evaluate(net, few.x, few.y, [PGD(eps=level / 255, steps=STEPS, retries=0)])
        right = sum(found.clean)
        kept[level] = found.outcomes[0].status.count("r")
        say(f"PGD-{STEPS} at {level:g}/255: {kept[level]} of {right} are kept")
        return kept[level]

    if given is not None:
        at(given)
    low, high = (0, 0) if given is not None else (0, len(LEVELS) - 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if 2 * at(LEVELS[middle]) > right else (low, middle)
        if not right:
            break
    if given is None and right and LEVELS[low] not in kept:
        at(LEVELS[low])
    if not right:
        raise InputError(
            f"the network has none of {len(few)} test images right, so that no eps fits it; expected its weights, "
            "and data whose classes stand in its order"
        )
    seconds = (time.perf_counter() - began) / (len(few) * STEPS * len(kept))
    return Sweep(images=len(few), right=right, kept=kept, seconds=seconds)
