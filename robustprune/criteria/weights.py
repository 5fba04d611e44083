"""Criteria that look at no data: position, chance, the size of weights. Baselines every other must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from robustprune.criteria.context import ScoringContext
from robustprune.errors import InputError


def mean_magnitude(block: nn.Module, name: str = "given") -> float:
    """Mean |w| over all weights of the block with two or more axes (convolutions, linear layers), >= 0.

    Li et al. 1608.08710 rank filters so; biases and normalisation are left out. Raises InputError without
    weights.

    >>> layer = nn.Linear(2, 1)
    >>> _ = nn.init.constant_(layer.weight, -0.5)
    >>> mean_magnitude(nn.Sequential(layer, nn.ReLU()))
    0.5
    """
    weights = [p.detach() for p in block.parameters() if p.ndim >= 2]
    if not weights:
        raise InputError(f"weight-norm: block {name} has no convolution or linear weights, expected at least one")
    return sum(float(w.abs().sum()) for w in weights) / sum(w.numel() for w in weights)


def last_gamma(block: nn.Module, name: str = "given") -> float:
    """Mean |gamma| of the block's last BatchNorm: the scale of its residual branch (Liu et al. 1708.06519).

    Raises InputError if the block has no BatchNorm with a scale.

    >>> last_gamma(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()))
    1.0
    """
    norms = [m.weight for m in block.modules() if isinstance(m, _BatchNorm) and m.affine]
    if not norms:
        raise InputError(f"bn-gamma: block {name} has no BatchNorm with a scale; weight-norm works without one")
    return float(norms[-1].detach().abs().mean())


@dataclass(frozen=True, kw_only=True)
class Random:
    """A random order of the blocks, drawn from the context's seed: the control for every claim.

    `draw` counts orders of one seed: 0 is called "random", 1 "random-b", and so on.
    """

    family: ClassVar[str] = "control"
    draw: int = 0

    @property
    def name(self) -> str:
        """The word, with a letter from the second draw on."""
        return f"random-{chr(ord('a') + self.draw)}" if self.draw else "random"

    def __call__(self, ctx: ScoringContext) -> dict[str, float]:
        """Uniform numbers in [0, 1), the same for the same seed, draw and blocks."""
        seed = [ctx.seed, self.draw] if self.draw else ctx.seed
        draws = np.random.default_rng(seed).random(len(ctx.blocks))
        return {block.name: float(draw) for block, draw in zip(ctx.blocks, draws, strict=True)}


@dataclass(frozen=True, kw_only=True)
class DepthFirst:
    """The shallowest blocks go first: what the published consensus code does in fact."""

    family: ClassVar[str] = "control"
    name = "depth-first"

    def __call__(self, ctx: ScoringContext) -> dict[str, float]:
        """The block's place in order of execution, 0 for the first."""
        return {block.name: float(place) for place, block in enumerate(ctx.blocks)}


@dataclass(frozen=True, kw_only=True)
class DepthLast:
    """The deepest blocks go first (2411.15558: a strong baseline)."""

    family: ClassVar[str] = "control"
    name = "depth-last"

    def __call__(self, ctx: ScoringContext) -> dict[str, float]:
        """The number of blocks behind it, 0 for the last."""
        return {block.name: float(len(ctx.blocks) - 1 - place) for place, block in enumerate(ctx.blocks)}


@dataclass(frozen=True, kw_only=True)
class WeightNorm:
    """Mean absolute weight of the block."""

    family: ClassVar[str] = "weights"
    name = "weight-norm"

    def __call__(self, ctx: ScoringContext) -> dict[str, float]:
        """`mean_magnitude` of each block; higher = keep. Raises InputError naming a block without weights."""
        return {name: mean_magnitude(block, name) for name, block in ctx.modules.items()}


@dataclass(frozen=True, kw_only=True)
class BnGamma:
    """Mean absolute scale of the block's last BatchNorm; for networks with BatchNorm only."""

    family: ClassVar[str] = "weights"
    name = "bn-gamma"

    def __call__(self, ctx: ScoringContext) -> dict[str, float]:
        """`last_gamma` of each block; higher = keep. Raises InputError naming a block without BatchNorm."""
        return {name: last_gamma(block, name) for name, block in ctx.modules.items()}
