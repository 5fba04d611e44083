"""How an evaluation is carried out, apart from what is attacked with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict, get_args

import torch
from torch import nn

from robustprune.attacks.engine.precision import Precision
from robustprune.attacks.engine.prepared import Prepared
from robustprune.errors import InputError

BATCH = 128
"""How many samples are worked on together where nobody says."""


class Basics(TypedDict, total=False):
    """Keywords that `robust_curve` and `evaluate` take; their meanings and defaults are those of `Settings`."""

    seed: int
    batch_size: int | None
    device: torch.device | str | None
    fresh: int | None
    prepared: Sequence[Prepared]


class Keywords(Basics, total=False):
    """Keywords that only `evaluate` takes."""

    precision: Precision
    keep: bool


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All of them; none changes what is found but for `seed`, and `precision` where bfloat16 finds more."""

    seed: int = 0
    """The only source of randomness."""
    batch_size: int | None = None
    """How many samples are attacked together; halved where memory runs out. None: `BATCH`, on a GPU what its memory
    allows (memory.py)."""
    device: torch.device | str | None = None
    """Where to attack; None is where the model is."""
    fresh: int | None = None
    """Passes of a verdict: 1 for a network that is deterministic, an odd number above for a random one, whose verdict
    is that of the majority. None finds out which it is, and takes 21."""
    prepared: Sequence[Prepared] = ()
    """What `prepared` found out about the network, or those to transfer from; what is missing is found out."""
    precision: Precision = "auto"
    """"auto" makes a first pass in bfloat16 where a short trial shows that it pays; float32 confirms and repeats."""
    keep: bool = False
    """Whether the perturbed images are returned too."""

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise InputError(f"batch_size={self.batch_size}: expected at least 1")
        if self.fresh is not None and (self.fresh < 1 or self.fresh % 2 == 0):
            raise InputError(f"fresh={self.fresh}: expected an odd number of passes, or None")
        if self.precision not in get_args(Precision):
            raise InputError(f"precision={self.precision!r}: expected one of {', '.join(get_args(Precision))}")

    def known(self, model: nn.Module) -> Prepared | None:
        """Return what was found out about `model` before, where it can be used."""
        fits = [one for one in self.prepared if one.serves(model) and self.fresh in (None, one.fresh)]
        return fits[0] if fits else None
