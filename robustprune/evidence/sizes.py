"""How much evidence each tier gathers."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

Tier = Literal["quick", "standard", "full"]

TIERS: tuple[Tier, ...] = ("quick", "standard", "full")
"""From the cheapest to the dearest."""

SEED = 0
"""Seed of the subset that is looked at and of all extra attacks: the same network gives the same evidence."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much the checks that attack may spend; all but 15 and 16 on a seeded subset of `samples` images."""

    samples: int
    directions: int
    """Random directions a sample for the smoothness of the loss (check 9)."""
    sweep: tuple[float, ...]
    """The eps of check 13, in the unit of the norm (scales.py)."""
    unbounded_steps: int
    beside: float
    """What check 15 may spend, in costs of the chain that it is about; inf: what all survivors take."""
    queries: int
    """Of Square on `samples` survivors (check 16)."""
    single: int
    """Samples that are attacked one by one (check 25)."""


SIZES: dict[Tier, Sizes] = {
    "quick": Sizes(
        samples=32,
        directions=10,
        sweep=(0, 4, 16),
        unbounded_steps=200,
        beside=1.0,
        queries=100,
        single=2,
    ),
    "standard": Sizes(
        samples=64,
        directions=100,
        sweep=(0, 1, 2, 4, 8, 16, 32),
        unbounded_steps=200,
        beside=inf,
        queries=1000,
        single=16,
    ),
    "full": Sizes(
        samples=128,
        directions=100,
        sweep=(0, 1, 2, 4, 8, 16, 32),
        unbounded_steps=500,
        beside=inf,
        queries=5000,
        single=32,
    ),
}
