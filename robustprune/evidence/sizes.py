"""How much evidence each tier gathers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tier = Literal["quick", "standard", "full"]

TIERS: tuple[Tier, ...] = ("quick", "standard", "full")
"""From the cheapest to the dearest."""

SEED = 0
"""Seed of the subset that is looked at and of all extra attacks: the same network gives the same evidence."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much the checks that attack may spend. All of it is on a seeded subset of `samples` images."""

    samples: int
    directions: int
    """Random directions a sample for the smoothness of the loss (check 9)."""
    sweep: tuple[float, ...]
    """The eps of check 13, in the unit of the norm (scales.py)."""
    unbounded_steps: int
    longer: int
    restarts: int
    """For check 15 the steps are multiplied by `longer`, and started this often."""
    queries: int
    single: int
    """Samples that are attacked one by one (check 25)."""


SIZES: dict[Tier, Sizes] = {
    "quick": Sizes(
        samples=32,
        directions=10,
        sweep=(0, 4, 16),
        unbounded_steps=200,
        longer=1,
        restarts=5,
        queries=100,
        single=2,
    ),
    "standard": Sizes(
        samples=64,
        directions=100,
        sweep=(0, 1, 2, 4, 8, 16, 32),
        unbounded_steps=200,
        longer=10,
        restarts=1,
        queries=1000,
        single=16,
    ),
    "full": Sizes(
        samples=128,
        directions=100,
        sweep=(0, 1, 2, 4, 8, 16, 32),
        unbounded_steps=500,
        longer=10,
        restarts=5,
        queries=5000,
        single=32,
    ),
}
